import CMessages
import GRPCServer
import HCLog
import Messages

/// The services go-plugin itself needs of every plugin, and gRPC's health service, its ping.
struct PluginServices: Sendable {
    /// The service names whose health is known; go-plugin asks for "plugin".
    private static let healthyServices = ["", "plugin"]

    let log: Logger

    func register(on server: RPCServer) {
        server.register(
            "/plugin.GRPCController/Shutdown",
            .unary(Wire.Plugin.Empty.self) { _ in
                log.debug("the agent shuts the plugin down")
                // The answer is still sent; the server waits for it.
                server.shutdown()
                return Wire.Plugin.Empty.encoded()
            })
        // Held open until the agent ends it: neither brokered connections nor output ever come.
        server.register(
            "/plugin.GRPCBroker/StartStream",
            .bidirectional { (requests, _) throws(RPCStatus) in
                while let request = try await requests.next(Wire.Plugin.ConnInfo.self) {
                    log.debug("ignored a brokered connection", ["service_id": request.service_id])
                }
            })
        server.register(
            "/plugin.GRPCStdio/StreamStdio",
            .serverStreaming { (_, _) throws(RPCStatus) in
                await Cancellation.wait()
            })
        server.register(
            "/grpc.health.v1.Health/Check",
            .unary(Wire.Plugin.HealthCheckRequest.self) {
                (request) throws(RPCStatus) in
                guard Self.healthyServices.contains(request.service) else {
                    throw RPCStatus(code: .notFound, message: "no service \"\(request.service)\" is known here")
                }
                return Self.health(GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
            })
        server.register(
            "/grpc.health.v1.Health/Watch",
            .serverStreaming(Wire.Plugin.HealthCheckRequest.self) {
                (request, responses) throws(RPCStatus) in
                let known = Self.healthyServices.contains(request.service)
                try await responses.send(
                    Self.health(
                        known
                            ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                            : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN))
                await Cancellation.wait()
            })
    }

    private static func health(_ status: Wire.Plugin.HealthCheckResponseServingStatus) -> [UInt8] {
        Wire.Plugin.HealthCheckResponse.encoded { message, _ in message.status = status }
    }
}
