import CMessages

// google.protobuf and google.rpc.

extension Wire.Google {
    package typealias AnyMessage = Google__Protobuf__Any
    package typealias Duration = Google__Protobuf__Duration
    package typealias Timestamp = Google__Protobuf__Timestamp
    typealias Empty = Google__Protobuf__Empty
    package typealias Status = Google__Rpc__Status
}

extension Wire.Google.AnyMessage: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__any__init(message) }
}
extension Wire.Google.Duration: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__duration__init(message) }
}
extension Wire.Google.Timestamp: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__timestamp__init(message) }
}
extension Wire.Google.Empty: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__empty__init(message) }
}
extension Wire.Google.Status: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { google__rpc__status__init(message) }
}
