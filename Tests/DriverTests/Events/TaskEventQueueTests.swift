import Shared
import Testing

import struct Synchronization.Atomic

@testable import EventLoop
@testable import HCLog
@testable import Planning
@testable import Supervision

@Suite(.hanging(after: 1)) struct TaskEventQueueTests {
    private struct Told: Equatable, Sendable {
        let task: String
        let dropped: Int

        init(_ task: Int, _ dropped: Int = 0) {
            self.task = "task\(task)"
            self.dropped = dropped
        }

        init(_ event: TaskEvent, _ dropped: Int) {
            self.task = event.taskID
            self.dropped = dropped
        }
    }

    private final class Clock: Sendable {
        private let time = Atomic<UInt64>(0)

        @discardableResult
        func pass(_ nanoseconds: UInt64) -> UInt64 { time.add(nanoseconds, ordering: .relaxed).newValue }
    }

    /// What a stream throws that takes no more.
    private struct Refusal: Error {}

    /// A clock by which every look comes an hour later: nothing is of a stream's last moment.
    private static func unhurriedQueue() -> TaskEventQueue {
        let clock = Clock()
        return TaskEventQueue { clock.pass(3600 * 1_000_000_000) }
    }

    /// Takes so many events, and then refuses the next or waits for ever.
    private static func take(_ count: Int, from queue: TaskEventQueue, refuseNext: Bool = false) async -> [Told] {
        let told = Mutex<[Told]>([])
        let enough = OneShot<Void>()
        let stream = Task {
            do throws(Refusal) {
                try await queue.stream { (event, dropped) throws(Refusal) in
                    let isMore = told.withLock { told in
                        if told.count == count { return true }
                        told.append(Told(event, dropped))
                        return false
                    }
                    if isMore { throw Refusal() }
                    if !refuseNext && told.withLock({ $0.count }) == count { enough.set(()) }
                }
            } catch {
                enough.set(())
            }
        }
        _ = await enough.wait()
        // The last one counts as told when `deliver` has returned.
        for _ in 0..<100 { await Task.yield() }
        stream.cancel()
        _ = await stream.value
        return told.withLock { $0 }
    }

    private static func publish(_ numbers: Range<Int>, to queue: TaskEventQueue) {
        for number in numbers {
            queue.publish(TaskEvent(taskID: "task\(number)", taskName: "web", time: 0, message: "it happened"))
        }
    }

    @Test func whatHappensBetweenTwoStreamsIsToldToTheNext() async {
        let queue = Self.unhurriedQueue()
        Self.publish(0..<2, to: queue)
        #expect(await Self.take(2, from: queue) == [Told(0), Told(1)])
        Self.publish(2..<5, to: queue)
        #expect(await Self.take(3, from: queue) == [Told(2), Told(3), Told(4)])
    }

    @Test func whatWasRefusedIsToldAgain() async {
        let queue = Self.unhurriedQueue()
        Self.publish(0..<4, to: queue)
        #expect(await Self.take(1, from: queue, refuseNext: true) == [Told(0)])
        #expect(await Self.take(3, from: queue) == [Told(1), Told(2), Told(3)])
    }

    /// A stream that hangs with an event in its hands while the next one has begun: it gets that event too.
    @Test func aStreamThatHangsTakesNothingAway() async {
        let queue = Self.unhurriedQueue()
        let hangs = OneShot<Void>()
        let first = Task {
            try? await queue.stream { (_, _) throws(Refusal) in
                hangs.set(())
                _ = await OneShot<Void>().wait()
                throw Refusal()
            }
        }
        Self.publish(0..<1, to: queue)
        _ = await hangs.wait()
        Self.publish(1..<2, to: queue)
        #expect(await Self.take(2, from: queue) == [Told(0), Told(1)])
        first.cancel()
        _ = await first.value
        Self.publish(2..<3, to: queue)
        #expect(await Self.take(1, from: queue) == [Told(2)])
    }

    /// The agent may have been killed before it read them.
    @Test func whatWasToldInTheLastMomentIsToldAgain() async {
        let clock = Clock()
        let queue = TaskEventQueue { clock.pass(0) }
        Self.publish(0..<2, to: queue)
        #expect(await Self.take(2, from: queue) == [Told(0), Told(1)])
        #expect(await Self.take(2, from: queue) == [Told(0), Told(1)])
        let first = OneShot<Void>()
        let stream = Task {
            try? await queue.stream { (event, _) throws(Refusal) in
                if event.taskID == "task1" { first.set(()) }
            }
        }
        _ = await first.wait()
        for _ in 0..<100 { await Task.yield() }
        clock.pass(TaskEventQueue.lastMoment)
        stream.cancel()
        await stream.value
        Self.publish(2..<3, to: queue)
        #expect(await Self.take(1, from: queue) == [Told(2)])
    }

    @Test func everyStreamGetsEveryEvent() async {
        let queue = Self.unhurriedQueue()
        async let one = Self.take(100, from: queue)
        async let two = Self.take(100, from: queue)
        // One that begins later gets what nobody was told until then.
        while queue.streamCount < 2 { await Task.yield() }
        Self.publish(0..<50, to: queue)
        await Task.yield()
        Self.publish(50..<200, to: queue)
        let (first, second) = await (one, two)
        #expect(first == (0..<100).map { Told($0) })
        #expect(second.count == 100)
    }

    @Test func theOldestAreDroppedAndCounted() async {
        let queue = Self.unhurriedQueue()
        let most = TaskEventQueue.maximumBacklog
        Self.publish(0..<(most + 7), to: queue)
        let told = await Self.take(most, from: queue)
        #expect(told.first == Told(7, 7))
        #expect(told.dropFirst() == (8..<(most + 7)).map { Told($0) }[...])
    }

    @Test func whatWasToldIsNotCountedAsDropped() async {
        let queue = Self.unhurriedQueue()
        let most = TaskEventQueue.maximumBacklog
        Self.publish(0..<3, to: queue)
        _ = await Self.take(3, from: queue)
        Self.publish(3..<(most + 3), to: queue)
        #expect(await Self.take(1, from: queue) == [Told(3)])
    }
}

@Suite struct TaskEventTests {
    private static func record(_ change: (inout ExitRecord) -> Void) -> TaskEnd {
        var record = ExitRecord(
            taskDirectory: "a", exitCode: 137, signal: 9, oomKilled: false, startedAt: 0, endedAt: 0, pid: 1)
        change(&record)
        return .recorded(record)
    }

    @Test func theOrdinaryIsNoEvent() {
        #expect(TaskEvent.message(about: Self.record { _ in }, memory: (1 << 20, 1 << 20)) == nil)
        #expect(TaskEvent.message(about: Self.record { $0.exitCode = 7 }, memory: (nil, nil)) == nil)
    }

    /// What the Executor noted counts; the cgroup itself may be gone by then.
    @Test func anOOMKillNamesLimitAndPeak() {
        let text = "the kernel has killed a process of the task for want of memory"
        let noted = Self.record { ($0.oomKilled, $0.memoryLimit, $0.memoryPeak) = (true, 64 << 20, 63 << 20) }
        let told = text + "; the limit is 64 MB (memory.max), the most that was used is 63 MB"
        #expect(TaskEvent.message(about: noted, memory: (nil, nil)) == told)
        let earlier = Self.record { $0.oomKilled = true }
        #expect(TaskEvent.message(about: earlier, memory: (64 << 20, 63 << 20)) == told)
        #expect(TaskEvent.message(about: earlier, memory: (nil, nil)) == text)
    }

    @Test func aRaisedLimitNamesWhatWasAskedAndGiven() {
        let raised = CgroupWrite(file: "cpu.max", value: "1000 100000", raisedFrom: "250 100000")
        #expect(
            TaskEvent.message(raised: raised)
                == "the limit cpu.max was raised to the least that the kernel takes: asked for was 250 100000, given is "
                + "1000 100000")
        #expect(TaskEvent.message(raised: CgroupWrite(file: "cpu.max", value: "1000 100000")) == nil)
    }
}
