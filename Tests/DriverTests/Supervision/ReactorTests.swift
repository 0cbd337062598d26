import Glibc
import Shared
import Testing

import struct Synchronization.Atomic

@testable import EventLoop
@testable import HCLog
@testable import Planning

@Suite(.hanging(after: 1)) struct ReactorTests {
    private static let millisecond: UInt64 = 1_000_000

    @Test func deadlinesPassInTheirOrder() async throws {
        let reactor = try Reactor()
        let order = Mutex<[Int]>([])
        let done = OneShot<Void>()
        for (number, delay) in [(3, 60), (1, 20), (2, 40)] as [(Int, UInt64)] {
            _ = reactor.after(delay * Self.millisecond) {
                let count = order.withLock { order in
                    order.append(number)
                    return order.count
                }
                if count == 3 { done.set(()) }
            }
        }
        #expect(await done.wait() != nil)
        #expect(order.withLock { $0 } == [1, 2, 3])
    }

    @Test func aCancelledDeadlineDoesNotPass() async throws {
        let reactor = try Reactor()
        let passed = Atomic(0)
        let timer = reactor.after(20 * Self.millisecond) { passed.add(1, ordering: .relaxed) }
        reactor.cancel(timer)
        reactor.cancel(timer)
        #expect(await OneShot<Void>().wait(atMost: 60 * Self.millisecond, on: reactor) == nil)
        #expect(passed.load(ordering: .relaxed) == 0)
    }

    /// Seen with `watch`: the handler was called without end, a processor long, until whoever waited had his turn.
    @Test func whatStaysReadableIsToldOnceWhereAskedFor() async throws {
        let reactor = try Reactor()
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        let calls = Atomic(0)
        let called = OneShot<Void>()
        let watch = try reactor.watchOnce(reading) {
            calls.add(1, ordering: .relaxed)
            called.set(())
        }
        // Readable for ever, as a pidfd of a process that has ended is.
        close(writing)
        #expect(await called.wait() != nil)
        #expect(await OneShot<Void>().wait(atMost: 20 * Self.millisecond, on: reactor) == nil)
        #expect(calls.load(ordering: .relaxed) == 1)
        reactor.unwatch(watch, reading)
    }

    @Test func aReadableDescriptorIsHandledUntilUnwatched() async throws {
        let reactor = try Reactor()
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        defer {
            close(reading)
            close(writing)
        }
        let received = Mutex<[UInt8]>([])
        let three = OneShot<Void>()
        let watch = try reactor.watch(reading) {
            var byte: UInt8 = 0
            guard read(reading, &byte, 1) == 1 else { return }
            let count = received.withLock { received in
                received.append(byte)
                return received.count
            }
            if count == 3 { three.set(()) }
        }
        #expect(write(writing, [1, 2, 3] as [UInt8], 3) == 3)
        #expect(await three.wait() != nil)
        #expect(received.withLock { $0 } == [1, 2, 3])

        reactor.unwatch(watch, reading)
        reactor.unwatch(watch, reading)
        #expect(write(writing, [4] as [UInt8], 1) == 1)
        #expect(await OneShot<Void>().wait(atMost: 20 * Self.millisecond, on: reactor) == nil)
        #expect(received.withLock { $0 } == [1, 2, 3])
    }

    @Test func whatCannotBeWatchedIsAnError() throws {
        let reactor = try Reactor()
        let error = #expect(throws: (any Error).self) { try reactor.watch(-1) {} }
        #expect(error.map { "\($0)" }?.contains("descriptor -1") == true)
    }

    /// What is to be done soon is done on the reactor's thread, once and in order, also what such an action adds.
    @Test func whatIsToBeDoneSoonIsDoneOnItsThread() async throws {
        let reactor = try Reactor()
        let seen = Mutex<[(Int, pthread_t)]>([])
        let done = OneShot<Void>()
        for number in 0..<1000 {
            reactor.perform {
                seen.withLock { $0.append((number, pthread_self())) }
                guard number == 999 else { return }
                reactor.perform { seen.withLock { $0.append((1000, pthread_self())) } }
                _ = reactor.after(0) {
                    seen.withLock { $0.append((1001, pthread_self())) }
                    done.set(())
                }
                // Not within the call.
                seen.withLock { $0.append((-1, pthread_self())) }
            }
        }
        #expect(await done.wait() != nil)
        #expect(await OneShot<Void>().wait(atMost: Self.millisecond, on: reactor) == nil)
        let order = seen.withLock { $0 }
        #expect(order.prefix(1001).map(\.0) == Array(0..<1000) + [-1])
        #expect(Set(order.dropFirst(1001).map(\.0)) == [1000, 1001])
        #expect(Set(order.map(\.1)).count == 1)
    }
}
