import CLinux
import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Exec
@testable import HCLog
@testable import Planning

@Suite struct OutputTailTests {
    @Test(arguments: [1, 2, 3, 7, 10, 64])
    func keepsTheLastBytes(_ capacity: Int) {
        for sizes in [[0], [1, 1, 1], [5, 0, 9], [100], [3, 100, 2], Array(repeating: 1, count: 50), [64, 64, 63]] {
            var tail = OutputTail(capacity: capacity)
            var all: [UInt8] = []
            for size in sizes {
                let piece = (0..<size).map { UInt8(truncatingIfNeeded: all.count + $0) }
                tail.append(piece)
                all += piece
                #expect(tail.bytes == Array(all.suffix(capacity)))
            }
        }
    }
}

@Suite struct EdgeTests {
    @Test func whatHappenedBeforeTheWaitLetsItPass() async {
        let edge = Edge()
        edge.raise()
        await edge.wait()
    }

    @Test func aRaiseWakesTheWaiter() async {
        let edge = Edge()
        let waiter = Task { await edge.wait() }
        edge.raise()
        await waiter.value
    }

    @Test func cancellationWakesTheWaiter() async {
        let edge = Edge()
        let waiter = Task { await edge.wait() }
        waiter.cancel()
        await waiter.value
    }
}

@Suite struct ByteStreamTests {
    private static func pair(_ reactor: Reactor) throws -> (reading: ByteStream, writing: ByteStream) {
        var ends: [Int32] = [-1, -1]
        guard exec2_pipe2(&ends, O_CLOEXEC) == 0 else { throw SystemError("make", "a pipe") }
        return (
            try ByteStream(OwnedDescriptor(owning: ends[0]), "a pipe", reactor: reactor),
            try ByteStream(OwnedDescriptor(owning: ends[1]), "a pipe", reactor: reactor)
        )
    }

    /// Many times what a pipe holds, with both sides waiting for each other.
    @Test func megabytesPassWhole() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let data = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let writer = Task {
            let result = try await writing.write(data)
            writing.close()
            return result
        }
        var got: [UInt8] = []
        while let piece = try await reading.read() { got += piece }
        #expect(got == data)
        guard case .all = try await writer.value else {
            Issue.record("the write did not end well")
            return
        }
    }

    @Test func aReaderThatLeavesBreaksTheWrite() async throws {
        signal(SIGPIPE, SIG_IGN)
        let (reading, writing) = try Self.pair(try Reactor())
        let writer = Task { try await writing.write([UInt8](repeating: 0, count: 1 << 20)) }
        _ = try await reading.read()
        reading.close()
        guard case .broken = try await writer.value else {
            Issue.record("the write did not break")
            return
        }
    }

    @Test func finishEndsAfterWhatIsThere() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        _ = try await writing.write([1, 2, 3])
        reading.finish()
        #expect(try await reading.read() == [1, 2, 3])
        #expect(try await reading.read() == nil)
    }

    @Test func finishWakesAReader() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let reader = Task { try await reading.read() }
        reading.finish()
        #expect(try await reader.value == nil)
        writing.close()
    }

    /// What the kernel refuses is no end: read(2) of a pipe's writing end is EBADF.
    @Test func aFailureIsNoEnd() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let refusal = Errno(rawValue: EBADF)
        await #expect(throws: SystemError("read", "a pipe", refusal)) { try await writing.read() }
        await #expect(throws: SystemError("write to", "a pipe", refusal)) { try await reading.write([1]) }
    }

    /// A terminal that nobody has open any more answers EIO.
    @Test func aTerminalEndsWithItsLastHolder() async throws {
        var sides: [Int32] = [-1, -1]
        try #require(exec2_terminal(&sides, -1) == 0)
        let stream = try ByteStream(
            OwnedDescriptor(owning: sides[0]), "a terminal", isTerminal: true, reactor: try Reactor())
        #expect(write(sides[1], "end", 3) == 3)
        close(sides[1])
        #expect(try await stream.read() == Array("end".utf8))
        #expect(try await stream.read() == nil)
    }

    @Test func cancellationEndsAReadAndAWrite() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let reader = Task { try await reading.read() }
        reader.cancel()
        #expect(try await reader.value == nil)
        let writer = Task { try await writing.write([UInt8](repeating: 0, count: 1 << 20)) }
        writer.cancel()
        guard case .cancelled = try await writer.value else {
            Issue.record("the write was not cancelled")
            return
        }
    }
}
