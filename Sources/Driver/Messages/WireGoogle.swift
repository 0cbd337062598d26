import CMessages

// google.protobuf and google.rpc.

extension Wire.Google {
    typealias AnyMessage = Google__Protobuf__Any
    typealias Duration = Google__Protobuf__Duration
    typealias Timestamp = Google__Protobuf__Timestamp
    typealias Empty = Google__Protobuf__Empty
    typealias Status = Google__Rpc__Status
}

extension Wire.Google.AnyMessage: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__any__init(message) }
}
extension Wire.Google.Duration: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__duration__init(message) }
}
extension Wire.Google.Timestamp: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__timestamp__init(message) }
}
extension Wire.Google.Empty: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) { google__protobuf__empty__init(message) }
}
extension Wire.Google.Status: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) { google__rpc__status__init(message) }
}
