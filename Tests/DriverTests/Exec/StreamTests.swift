import CLinux
import Glibc
import Shared
import Testing

@testable import Driver

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
            try ByteStream(OwnedDescriptor(owning: ends[0]), reactor: reactor),
            try ByteStream(OwnedDescriptor(owning: ends[1]), reactor: reactor)
        )
    }

    /// Many times what a pipe holds, with both sides waiting for each other.
    @Test func megabytesPassWhole() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let data = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let writer = Task {
            let result = await writing.write(data)
            writing.close()
            return result
        }
        var got: [UInt8] = []
        while let piece = await reading.read() { got += piece }
        #expect(got == data)
        guard case .all = await writer.value else {
            Issue.record("the write did not end well")
            return
        }
    }

    @Test func aReaderThatLeavesBreaksTheWrite() async throws {
        signal(SIGPIPE, SIG_IGN)
        let (reading, writing) = try Self.pair(try Reactor())
        let writer = Task { await writing.write([UInt8](repeating: 0, count: 1 << 20)) }
        _ = await reading.read()
        reading.close()
        guard case .broken = await writer.value else {
            Issue.record("the write did not break")
            return
        }
    }

    @Test func finishEndsAfterWhatIsThere() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        _ = await writing.write([1, 2, 3])
        reading.finish()
        #expect(await reading.read() == [1, 2, 3])
        #expect(await reading.read() == nil)
    }

    @Test func finishWakesAReader() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let reader = Task { await reading.read() }
        reading.finish()
        #expect(await reader.value == nil)
        writing.close()
    }

    @Test func cancellationEndsAReadAndAWrite() async throws {
        let (reading, writing) = try Self.pair(try Reactor())
        let reader = Task { await reading.read() }
        reader.cancel()
        #expect(await reader.value == nil)
        let writer = Task { await writing.write([UInt8](repeating: 0, count: 1 << 20)) }
        writer.cancel()
        guard case .cancelled = await writer.value else {
            Issue.record("the write was not cancelled")
            return
        }
    }
}
