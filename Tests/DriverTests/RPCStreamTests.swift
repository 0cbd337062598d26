import Shared
import Testing

@testable import EventLoop
@testable import GRPCServer
@testable import HCLog
@testable import Planning

@Suite(.serialized, .hanging(after: 2)) struct RPCStreamTests {
    @Test(arguments: CallPlace.allCases) func serverStreamArrivesCompleteAndInOrder(_ place: CallPlace) async throws {
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Count": .serverStreaming { (request, responses) throws(RPCStatus) in
                    for number in 0..<request[0] { try await responses.send([number]) }
                }
            ])
        let call = running.client.call("/t.T/Count")
        call.begin()
        await call.send([200], last: true)
        var numbers: [UInt8] = []
        while let message = await call.receive() { numbers += message }
        #expect(numbers == Array(0..<200))
        #expect(await call.status().code == .ok)
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func slowReaderHoldsTheSenderBack(_ place: CallPlace) async throws {
        let sent = Mutex(0)
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Flood": .serverStreaming { (_, responses) throws(RPCStatus) in
                    let block = [UInt8](repeating: 7, count: 1 << 20)
                    for _ in 0..<100 {
                        try await responses.send(block)
                        sent.withLock { $0 += 1 }
                    }
                }
            ])
        let call = running.client.call("/t.T/Flood")
        call.begin()
        await call.send([], last: true)
        #expect(await call.receive()?.count == 1 << 20)
        try await Task.sleep(for: .milliseconds(500))
        let ahead = sent.withLock { $0 }
        #expect(ahead < 30, "\(ahead) MiB were sent to a reader that took one")
        var received = 1
        while let message = await call.receive() { received += message.count >> 20 }
        #expect(received == 100)
        #expect(await call.status().code == .ok)
        _ = await running.stop()
    }

    /// What is offered while the message before is on its way is not taken; what is taken arrives.
    @Test(arguments: CallPlace.allCases) func whatIsOfferedAndTakenArrives(_ place: CallPlace) async throws {
        let numbers: @Sendable ([UInt8], RPCResponseStream) -> [UInt8] = { block, responses in
            // More than flow control lets pass to a client that reads nothing.
            (0..<100).filter { responses.offer([$0] + block) }
        }
        let taken = Mutex<[UInt8]>([])
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Offer": .serverStreaming { (_, responses) throws(RPCStatus) in
                    #expect(responses.isFree)
                    let first = numbers([UInt8](repeating: 7, count: 1 << 20), responses)
                    taken.withLock { $0 = first }
                    // Behind all of them.
                    try await responses.send([200])
                    #expect(responses.isFree)
                    #expect(responses.offer([201]))
                }
            ])
        let call = running.client.call("/t.T/Offer")
        call.begin()
        await call.send([], last: true)
        try await Task.sleep(for: .milliseconds(50))
        var arrived: [UInt8] = []
        while let message = await call.receive() { arrived.append(message[0]) }
        let expected = taken.withLock { $0 }
        #expect(expected.first == 0 && expected.count < 100)
        #expect(arrived == expected + [200, 201])
        #expect(await call.status().code == .ok)
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func nothingCanBeOfferedToAClientThatIsGone(_ place: CallPlace) async throws {
        let entered = Flag()
        let left = Flag()
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Offer": .serverStreaming { (_, responses) throws(RPCStatus) in
                    entered.raise()
                    await Cancellation.wait()
                    #expect(!responses.offer([1]))
                    left.raise()
                }
            ])
        let call = running.client.call("/t.T/Offer")
        call.begin()
        await call.send([], last: true)
        await entered.wait()
        call.cancel()
        await left.wait()
        #expect(await running.stop() == .byThemselves)
    }

    @Test(arguments: CallPlace.allCases) func stalledSenderIsFreedByCancellation(_ place: CallPlace) async throws {
        let freed = Flag()
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Flood": .serverStreaming { (_, responses) throws(RPCStatus) in
                    defer { freed.raise() }
                    while true { try await responses.send([UInt8](repeating: 7, count: 1 << 20)) }
                }
            ])
        let call = running.client.call("/t.T/Flood")
        call.begin()
        await call.send([], last: true)
        #expect(await call.receive() != nil)
        try await Task.sleep(for: .milliseconds(100))
        call.cancel()
        await freed.wait()
        #expect(await running.stop() == .byThemselves)
    }

    @Test(arguments: CallPlace.allCases) func bidirectionalEchoesUntilTheClientCloses(_ place: CallPlace) async throws {
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Chat": .bidirectional { (requests, responses) throws(RPCStatus) in
                    while let request = try await requests.next() { try await responses.send(request.reversed()) }
                    try await responses.send(Array("end".utf8))
                }
            ])
        let call = running.client.call("/t.T/Chat")
        call.begin()
        for number: UInt8 in 0..<100 {
            await call.send([number, 1], last: false)
            #expect(await call.receive() == [1, number])
        }
        await call.send(nil, last: true)
        #expect(await call.receive() == Array("end".utf8))
        #expect(await call.receive() == nil)
        #expect(await call.status().code == .ok)
        _ = await running.stop()
    }

    /// What an interactive exec does: one task reads requests and is given up when the work ends.
    @Test(arguments: CallPlace.allCases) func aReaderThatIsGivenUpLosesNoRequest(_ place: CallPlace) async throws {
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Work": .bidirectional { (requests, responses) throws(RPCStatus) in
                    let early = await withTaskGroup(of: Bool.self) { group in
                        group.addTask { (try? await requests.next()) != nil }
                        group.cancelAll()
                        return await group.next() ?? true
                    }
                    try await responses.send([early ? 1 : 0])
                    try await responses.send(requests.next() ?? [99])
                }
            ])
        let call = running.client.call("/t.T/Work")
        call.begin()
        #expect(await call.receive() == [0])
        await call.send([42], last: true)
        #expect(await call.receive() == [42])
        #expect(await call.receive() == nil)
        #expect(await call.status().code == .ok)
        _ = await running.stop()
    }

    @Test(arguments: CallPlace.allCases) func manyTasksMaySendAtOnce(_ place: CallPlace) async throws {
        let running = try RunningServer(
            at: place,
            [
                "/t.T/Both": .serverStreaming { (_, responses) throws(RPCStatus) in
                    let failed = await withTaskGroup(of: Bool.self) { group in
                        for sender: UInt8 in 0..<8 {
                            group.addTask {
                                for number: UInt8 in 0..<50 {
                                    guard (try? await responses.send([sender, number])) != nil else { return true }
                                }
                                return false
                            }
                        }
                        return await group.contains(true)
                    }
                    if failed { throw RPCStatus(code: .internalError, message: "a send failed") }
                }
            ])
        let call = running.client.call("/t.T/Both")
        call.begin()
        await call.send([], last: true)
        var next = [UInt8](repeating: 0, count: 8)
        while let message = await call.receive() {
            #expect(next[Int(message[0])] == message[1])
            next[Int(message[0])] += 1
        }
        #expect(next == [UInt8](repeating: 50, count: 8))
        #expect(await call.status() == RPCStatus(code: .ok, message: ""))
        _ = await running.stop()
    }
}
