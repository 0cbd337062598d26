import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import GRPCServer
@testable import HCLog
@testable import NomadPlugin
@testable import Planning

/// Whose thread does what follows the operations of a method's calls.
enum CallPlace: CaseIterable {
    case queue, reactor
}

/// A server in a directory of its own, running until `stop`.
struct RunningServer: Sendable {
    let server: RPCServer
    let directory: SocketDirectory
    let client: RPCTestClient
    private let ended: AsyncStream<RPCServer.Ending>

    /// - Parameter place: Of the calls of `methods`.
    init(
        at place: CallPlace = .queue, _ methods: [String: RPCHandler], also register: (RPCServer) -> Void = { _ in }
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        let server = RPCServer(log: Logger(name: "test"))
        let reactor: Reactor? = if place == .reactor { try Reactor() } else { nil }
        for (method, handler) in methods { server.register(method, on: reactor, handler) }
        register(server)
        directory = try SocketDirectory(below: "/tmp")
        try server.listen(unixSocket: directory.socket, on: Reactor(), admission: SocketPeer.refusal(of:))
        let (ended, end) = AsyncStream<RPCServer.Ending>.makeStream()
        self.ended = ended
        self.server = server
        onThread {
            end.yield(server.run())
            end.finish()
        }
        client = RPCTestClient(socket: directory.socket)
    }

    /// Shuts the server down and answers how its calls ended.
    func stop() async -> RPCServer.Ending? {
        server.shutdown()
        var ending: RPCServer.Ending?
        for await how in ended { ending = how }
        directory.remove()
        return ending
    }
}

/// A switch that handlers throw and tests wait for.
final class Flag: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream<Void>.makeStream() }
    func raise() { continuation.finish() }
    func wait() async { for await _ in stream {} }
}

@Suite(.serialized, .hanging(after: 2)) struct RPCServerTests {
    static let echo = RPCHandler.unary { request in request }

    @Test(arguments: CallPlace.allCases) func answersAThousandCallsAtOnce(_ place: CallPlace) async throws {
        let running = try RunningServer(at: place, ["/t.T/Echo": Self.echo])
        let right = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<1000 {
                group.addTask {
                    let request = Array("request \(number)".utf8)
                    let answer = await running.client.unary("/t.T/Echo", request)
                    return answer.response == request && answer.status.code == .ok
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(right == 1000)
        #expect(await running.stop() == .byThemselves)
    }

    @Test(arguments: CallPlace.allCases) func carries64MiBBothWays(_ place: CallPlace) async throws {
        let running = try RunningServer(at: place, ["/t.T/Echo": Self.echo])
        var request = [UInt8](repeating: 0, count: 64 << 20)
        for index in stride(from: 0, to: request.count, by: 4093) { request[index] = UInt8(truncatingIfNeeded: index) }
        let answer = await running.client.unary("/t.T/Echo", request)
        #expect(answer.status.code == .ok)
        #expect(answer.response == request)
        _ = await running.stop()
    }

    @Test func namesAnUnknownMethod() async throws {
        let running = try RunningServer([:])
        let answer = await running.client.unary("/t.T/Nothing", [])
        #expect(answer.response == nil)
        #expect(answer.status == RPCStatus(code: .unimplemented, message: "this driver has no method /t.T/Nothing"))
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func carriesStatusTextAndDetails(_ place: CallPlace) async throws {
        let status = RPCStatus(code: .failedPrecondition, message: "größer als 5 % \"\n", details: [0, 1, 255, 128])
        let long = RPCStatus(code: .notFound, message: String(repeating: "ü", count: 100_000))
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Fail": .unary { (_) throws(RPCStatus) in throw status },
                "/t.T/Long": .serverStreaming { (_, _) throws(RPCStatus) in throw long },
            ])
        #expect(await running.client.unary("/t.T/Fail", []).status == status)
        let received = await running.client.unary("/t.T/Long", []).status
        #expect(received.code == .notFound)
        #expect(received.message.hasPrefix("üüü") && received.message.hasSuffix("…"))
        #expect(received.message.utf8.count <= RPCStatus.maximumMessageLength)
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func cancellationReachesTheHandler(_ place: CallPlace) async throws {
        let entered = Flag()
        let cancelled = Flag()
        let hang = RPCHandler.unary { (_) throws(RPCStatus) in
            entered.raise()
            await Cancellation.wait()
            if Task.isCancelled { cancelled.raise() }
            throw .clientGone
        }
        let running = try RunningServer(at: place, ["/t.T/Hang": hang, "/t.T/Echo": Self.echo])
        let call = running.client.call("/t.T/Hang")
        call.begin()
        await call.send([], last: true)
        await entered.wait()
        call.cancel()
        await cancelled.wait()
        #expect(await call.status().code == .cancelled)
        #expect(await running.client.unary("/t.T/Echo", [1]).response == [1])
        #expect(await running.stop() == .byThemselves)
    }

    @Test(arguments: CallPlace.allCases) func whatNobodyKnowsOfIsUndone(_ place: CallPlace) async throws {
        let entered = Flag()
        let undone = Flag()
        let undoings = Mutex(0)
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Make": .undoable { request in
                    entered.raise()
                    // Before the server knows that the client has left, its answer
                    // counts as sent.
                    if request.isEmpty { await Cancellation.wait() }
                    return RPCHandler.Response(
                        request,
                        undo: {
                            undoings.withLock { $0 += 1 }
                            undone.raise()
                        })
                }
            ])
        let left = running.client.call("/t.T/Make")
        left.begin()
        await left.send([], last: true)
        await entered.wait()
        left.cancel()
        #expect(await left.status().code == .cancelled)
        await undone.wait()
        // Who gets the answer has what was made.
        #expect(await running.client.unary("/t.T/Make", [1]).response == [1])
        _ = await running.stop()
        #expect(undoings.withLock { $0 } == 1)
    }

    /// Before, the next Executor was spawned beside the answer of a start, and took the processor that this waited for.
    @Test(arguments: CallPlace.allCases) func whatTheClientNeedNotWaitForComesAfterItsResponse(_ place: CallPlace)
        async throws
    {
        let answered = ThreadSignal()
        let wasAnswered = OneShot<Bool>()
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Make": .undoable { request in
                    RPCHandler.Response(
                        request, undo: {},
                        afterwards: { wasAnswered.set(answered.wait(atMost: 10_000_000_000)) })
                }
            ])
        #expect(await running.client.unary("/t.T/Make", [1]).response == [1])
        answered.raise()
        #expect(await wasAnswered.wait() == true)
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func shutdownEndsCallsInFlightAndLetsTheLastAnswerOut(_ place: CallPlace)
        async throws
    {
        let held = Mutex(0)
        let allHeld = Flag()
        let stopping = Mutex<RPCServer?>(nil)
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Hold": .bidirectional { (requests, responses) throws(RPCStatus) in
                    try await responses.send([1])
                    let all = held.withLock { held in
                        held += 1
                        return held == 50
                    }
                    if all { allHeld.raise() }
                    _ = try await requests.next()
                },
                "/t.T/Stop": .unary { request in
                    stopping.withLock { $0?.shutdown() }
                    return request
                },
            ])
        stopping.withLock { $0 = running.server }
        var calls: [RPCTestCall] = []
        for _ in 0..<50 {
            let call = running.client.call("/t.T/Hold")
            call.begin()
            #expect(await call.receive() == [1])
            calls.append(call)
        }
        await allHeld.wait()
        // A call whose request never comes has no handler to cancel.
        let silent = running.client.call("/t.T/Stop")
        silent.begin()
        #expect(await running.client.unary("/t.T/Stop", [7]).response == [7])
        #expect(await running.stop() == .byThemselves)
        for call in calls {
            #expect(await call.status().code == .cancelled)
        }
        #expect(await silent.status().code == .unavailable)
        stopping.withLock { $0 = nil }
    }

    @Test(arguments: CallPlace.allCases) func shutdownDoesNotWaitForAHandlerThatIgnoresIt(_ place: CallPlace)
        async throws
    {
        let entered = Flag()
        let release = Flag()
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Deaf": .unary { request in
                    entered.raise()
                    // A task of its own is not cancelled with the call.
                    await Task.detached { await release.wait() }.value
                    return request
                }
            ])
        let call = running.client.call("/t.T/Deaf")
        call.begin()
        await call.send([], last: true)
        await entered.wait()
        // Of a reactor's call there is nothing that could use the server any more.
        #expect(await running.stop() == (place == .reactor ? .cutOff : .abandoned))
        // Its late answer goes nowhere, and must not crash.
        release.raise()
        #expect(await call.status().code != .ok)
    }
}
