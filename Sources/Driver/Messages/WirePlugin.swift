import CMessages

// plugin (go-plugin) and grpc.health.v1.

extension Wire.Plugin {
    package typealias Empty = Plugin__Empty
    typealias ConnInfoKnock = Plugin__ConnInfo__Knock
    package typealias ConnInfo = Plugin__ConnInfo
    typealias StdioData = Plugin__StdioData
    package typealias HealthCheckRequest = Grpc__Health__V1__HealthCheckRequest
    package typealias HealthCheckResponse = Grpc__Health__V1__HealthCheckResponse
    typealias StdioDataChannel = Plugin__StdioData__Channel
    package typealias HealthCheckResponseServingStatus = Grpc__Health__V1__HealthCheckResponse__ServingStatus
}

extension Wire.Plugin.Empty: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { plugin__empty__init(message) }
}
extension Wire.Plugin.ConnInfoKnock: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { plugin__conn_info__knock__init(message) }
}
extension Wire.Plugin.ConnInfo: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { plugin__conn_info__init(message) }
}
extension Wire.Plugin.StdioData: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { plugin__stdio_data__init(message) }
}
extension Wire.Plugin.HealthCheckRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        grpc__health__v1__health_check_request__init(message)
    }
}
extension Wire.Plugin.HealthCheckResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        grpc__health__v1__health_check_response__init(message)
    }
}
