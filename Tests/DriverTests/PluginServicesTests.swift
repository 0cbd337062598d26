import CMessages
import Testing

@testable import GRPCServer
@testable import HCLog
@testable import Messages
@testable import NomadPlugin
@testable import Planning

@Suite(.serialized, .hanging(after: 1)) struct PluginServicesTests {
    private func run() throws -> RunningServer {
        try RunningServer([:]) { PluginServices(log: Logger(name: "test")).register(on: $0) }
    }

    private func healthRequest(_ service: String) -> [UInt8] {
        Wire.Plugin.HealthCheckRequest.encoded { request, arena in request.service = arena.string(service) }
    }

    @Test func healthKnowsThePluginAndNothingElse() async throws {
        let running = try run()
        for service in ["plugin", ""] {
            let answer = await running.client.unary("/grpc.health.v1.Health/Check", healthRequest(service))
            #expect(answer.response == [0x08, 0x01])
        }
        let unknown = await running.client.unary("/grpc.health.v1.Health/Check", healthRequest("other"))
        #expect(unknown.status == RPCStatus(code: .notFound, message: "no service \"other\" is known here"))
        let broken = await running.client.unary("/grpc.health.v1.Health/Check", [0x0A, 0x02, 0x61, 0x00])
        #expect(
            broken.status
                == RPCStatus(
                    code: .invalidArgument,
                    message: "cannot read the request: HealthCheckRequest.service contains a NUL byte"))
        _ = await running.stop()
    }

    @Test(arguments: [("plugin", 1 as UInt8), ("other", 3)])
    func healthWatchAnswersOnceAndStaysOpen(_ service: String, _ status: UInt8) async throws {
        let running = try run()
        let call = running.client.call("/grpc.health.v1.Health/Watch")
        call.begin()
        await call.send(healthRequest(service), last: true)
        #expect(await call.receive() == [0x08, status])
        call.cancel()
        #expect(await call.status().code == .cancelled)
        #expect(await running.stop() == .byThemselves)
    }

    @Test func controllerAnswersAndThenEndsTheServerWithItsOpenStreams() async throws {
        let running = try run()
        let output = running.client.call("/plugin.GRPCStdio/StreamStdio")
        output.begin()
        await output.send([], last: true)
        let broker = running.client.call("/plugin.GRPCBroker/StartStream")
        broker.begin()
        await broker.send(Wire.Plugin.ConnInfo.encoded { info, _ in info.service_id = 1 }, last: false)
        let answer = await running.client.unary("/plugin.GRPCController/Shutdown", [])
        #expect(answer.response == [])
        #expect(answer.status == RPCStatus(code: .ok, message: ""))
        #expect(await output.receive() == nil)
        #expect(await broker.receive() == nil)
        #expect(await running.stop() == .byThemselves)
    }
}
