import CLinux
import Testing

@testable import Shared

@Suite struct MessageCodingTests {
    private static let requests: [ExecutorRequest] = [
        .hello(session: 1, minimum: 1, maximum: 1), .hello(session: .max, minimum: 0, maximum: .max),
        .hello(session: 0, minimum: 0, maximum: 0),
        .signal(15), .signal(0), .signal(-1), .signal(.max), .signal(.min),
        .stop(signal: 2, timeoutNanoseconds: 5_000_000_000), .stop(signal: 0, timeoutNanoseconds: 0),
        .stop(signal: 64, timeoutNanoseconds: .max),
    ]

    private static let events: [ExecutorEvent] = [
        .welcome(
            protocol: 1, state: .running, task: StartedTask(pid: 4711, startedAt: 1_700_000_000_000_000_001)),
        .welcome(protocol: .max, state: .ended, task: StartedTask(pid: 0, startedAt: 0)),
        .started(StartedTask(pid: .max, startedAt: .max)), .started(StartedTask(pid: 0, startedAt: .min)),
        .launchFailed(stage: 15, errno: .noSuchFile, subject: "/srv/www"),
        .launchFailed(stage: .max, errno: Errno(rawValue: 0), subject: ""),
        .launchFailed(stage: 0, errno: Errno(rawValue: -1), subject: "ü\n\u{1F600}"),
        .done, .refused(.noSuchProcess), .refused(Errno(rawValue: 0)), .exited(nil),
        .exited(
            ExitRecord(taskDirectory: "a+b", exitCode: 0, signal: 0, oomKilled: false, startedAt: 1, endedAt: 2, pid: 3)
        ),
        .exited(largestRecord),
    ]

    /// Its texts are the longest that a record keeps, and its numbers take as many bytes as any do.
    private static let largestRecord = ExitRecord(
        taskDirectory: String(repeating: "d", count: 1500), exitCode: .min, signal: .min, oomKilled: true,
        startedAt: .min, endedAt: .min, pid: .min, userTime: .min, systemTime: .min, maxRSS: .min,
        execError: Errno(rawValue: .min), execProgram: String(repeating: "p", count: 1500), survivors: true,
        memoryLimit: .max, memoryPeak: .max, endedSinceBoot: .min)

    private func payload(_ bytes: [UInt8]) throws -> [UInt8] {
        let (payloads, garbage) = scan(bytes)
        #expect(garbage == 0)
        #expect(payloads.count == 1)
        return try #require(payloads.first)
    }

    @Test(arguments: requests, [1, 77, UInt64.max])
    func requestsReturn(request: ExecutorRequest, id: UInt64) throws {
        let decoded = try payload(frame(request, id: id)).withUnsafeBytes { ExecutorRequest.decode($0) }
        #expect(decoded.id == id)
        #expect(decoded.request == request)
    }

    @Test(arguments: events, [(1, 0), (UInt64.max, UInt64.max), (7, 3)])
    func eventsReturn(event: ExecutorEvent, context: (session: UInt64, replyTo: UInt64)) throws {
        let bytes = try payload(frame(event, session: context.session, replyTo: context.replyTo))
        let decoded = try #require(bytes.withUnsafeBytes { ExecutorEvent.decode($0) })
        #expect(decoded.session == context.session)
        #expect(decoded.replyTo == context.replyTo)
        #expect(decoded.event == event)
    }

    @Test(arguments: [ExecutorState.starting, .running, .stopping, .draining, .ended])
    func everyStateReturns(state: ExecutorState) throws {
        let event = ExecutorEvent.welcome(protocol: 1, state: state, task: StartedTask(pid: 1, startedAt: 2))
        let bytes = try payload(frame(event, session: 1))
        #expect(bytes.withUnsafeBytes { ExecutorEvent.decode($0)?.event } == event)
    }

    @Test func aSubjectThatFitsIsWhole() throws {
        let subject = String(repeating: "x", count: ExecutorEvent.maximumSubject)
        #expect(try self.subject(sent: subject) == subject)
    }

    /// PATH_MAX allows paths longer than a frame.
    @Test(arguments: [("x", 3072), ("ü", 1536), ("€", 1024), ("\u{1F600}", 768)])
    func aLongerSubjectIsCutBetweenCharacters(character: String, kept: Int) throws {
        for lead in 0..<4 {
            let text = String(repeating: "-", count: lead) + String(repeating: character, count: 5000)
            let received = try subject(sent: text)
            #expect(text.hasPrefix(received))
            #expect(received.utf8.count <= ExecutorEvent.maximumSubject)
            #expect(received.utf8.count > ExecutorEvent.maximumSubject - character.utf8.count)
            if lead == 0 { #expect(received.count == kept) }
        }
    }

    private func subject(sent: String) throws -> String {
        let bytes = try payload(
            frame(
                .launchFailed(stage: .max, errno: Errno(rawValue: -1), subject: sent), session: .max,
                replyTo: .max))
        guard
            case .launchFailed(_, _, let subject)? = bytes.withUnsafeBytes({ ExecutorEvent.decode($0)?.event }
            )
        else {
            Issue.record("no launchFailed came back")
            return ""
        }
        return subject
    }

    // Bytes of protobuf by hand: what a newer build may send.

    /// A field number with a length-delimited value.
    private func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(content.count)] + content
    }

    @Test func aRequestOfAnUnknownKindKeepsItsID() {
        let bytes: [UInt8] = [0x08, 42] + field(15, [0x08, 1])
        let decoded = bytes.withUnsafeBytes { ExecutorRequest.decode($0) }
        #expect(decoded.id == 42)
        #expect(decoded.request == nil)
    }

    @Test func aRequestWithNewerFieldsIsUnderstood() {
        // Signal{number: 10, field 9: 5}, and an unknown field beside it.
        let bytes: [UInt8] = [0x08, 3] + field(3, [0x08, 10, 0x48, 5]) + field(14, [1, 2])
        let decoded = bytes.withUnsafeBytes { ExecutorRequest.decode($0) }
        #expect(decoded.id == 3)
        #expect(decoded.request == .signal(10))
    }

    @Test func anEventOfAnUnknownKindKeepsItsSession() throws {
        let bytes: [UInt8] = [0x08, 42, 0x10, 7] + field(15, [])
        let decoded = try #require(bytes.withUnsafeBytes { ExecutorEvent.decode($0) })
        #expect(decoded.session == 42)
        #expect(decoded.replyTo == 7)
        #expect(decoded.event == nil)
    }

    @Test func aStateThatOnlyANewerBuildKnowsIsNoEvent() throws {
        let bytes: [UInt8] = [0x08, 1] + field(3, [0x08, 1, 0x10, 99])
        let decoded = try #require(bytes.withUnsafeBytes { ExecutorEvent.decode($0) })
        #expect(decoded.event == nil)
    }

    @Test func anEmptyPayloadIsARequestOfNobodyAndNoEvent() throws {
        let none: [UInt8] = []
        let request = none.withUnsafeBytes { ExecutorRequest.decode($0) }
        #expect(request.id == 0)
        #expect(request.request == nil)
        let event = try #require(none.withUnsafeBytes { ExecutorEvent.decode($0) })
        #expect(event.session == 0)
        #expect(event.event == nil)
    }

    @Test func bytesThatAreNoMessageAreNone() {
        for bytes in [[0xFF], [0x08], [0x12, 5, 1], [0x0B, 0x0C, 0x0F]] as [[UInt8]] {
            let request = bytes.withUnsafeBytes { ExecutorRequest.decode($0) }
            #expect(request.id == 0)
            #expect(request.request == nil)
            #expect(bytes.withUnsafeBytes { ExecutorEvent.decode($0) == nil })
        }
    }

    @Test func randomPayloadsDoNotTrap() {
        var numbers = SeededNumbers(seed: 3)
        var understood = 0
        for _ in 0..<20_000 {
            let bytes = numbers.bytes(Int.random(in: 0...24, using: &numbers))
            if bytes.withUnsafeBytes({ ExecutorRequest.decode($0).request }) != nil { understood += 1 }
            if bytes.withUnsafeBytes({ ExecutorEvent.decode($0)?.event }) != nil { understood += 1 }
        }
        #expect(understood < 20_000)
    }

    @Test func everyDamagedMessageIsReadOrRefused() {
        var numbers = SeededNumbers(seed: 4)
        for event in Self.events {
            let whole = Array(frame(event, session: 9, replyTo: 9).dropFirst(Frame.headerSize))
            for _ in 0..<500 {
                var bytes = whole
                let index = Int.random(in: bytes.indices, using: &numbers)
                bytes[index] = UInt8(truncatingIfNeeded: numbers.next())
                _ = bytes.withUnsafeBytes { ExecutorEvent.decode($0) }
                _ = bytes.withUnsafeBytes { ExecutorRequest.decode($0) }
            }
        }
    }
}
