import Shared
import Testing

@testable import EventLoop
@testable import HCLog
@testable import Planning

@Suite(.hanging(after: 1)) struct OneShotTests {
    private static let millisecond: UInt64 = 1_000_000
    private static let long: UInt64 = 3600 * 1_000_000_000

    @Test func theFirstValueStays() async {
        let shot = OneShot<Int>()
        #expect(shot.current == nil)
        #expect(shot.set(1))
        #expect(!shot.set(2))
        #expect(shot.current == 1)
        #expect(await shot.wait() == 1)
        #expect(await shot.wait() == 1)
    }

    @Test func aValueThatIsThereNeedsNoWaiting() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        shot.set(1)
        #expect(await shot.wait(atMost: 0, on: reactor) == 1)
        #expect(await shot.wait(atMost: .max, on: reactor) == 1)
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await shot.wait()
        }
        #expect(await cancelled.value == 1)
    }

    @Test func everyWaiterIsWoken() async {
        let shot = OneShot<Int>()
        let sum = await withTaskGroup(of: Int?.self) { group in
            for _ in 0..<1000 { group.addTask { await shot.wait() } }
            group.addTask {
                await Task.yield()
                return shot.set(3) ? 0 : nil
            }
            return await group.reduce(0) { $0 + ($1 ?? 1_000_000) }
        }
        #expect(sum == 3000)
    }

    @Test func ofManySettersOneWins() async {
        for _ in 0..<100 {
            let shot = OneShot<Int>()
            let winners = await withTaskGroup(of: Int?.self) { group in
                for number in 0..<8 { group.addTask { shot.set(number) ? number : nil } }
                var winners: [Int] = []
                for await number in group {
                    if let number { winners.append(number) }
                }
                return winners
            }
            #expect(winners.count == 1)
            #expect(shot.current == winners.first)
        }
    }

    @Test func aWaitEndsWhenItsTimeIsUp() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let start = ContinuousClock.now
        #expect(await shot.wait(atMost: 20 * Self.millisecond, on: reactor) == nil)
        #expect(ContinuousClock.now - start >= .milliseconds(20))
        #expect(await shot.wait(atMost: 0, on: reactor) == nil)
        // Nothing of the waits that ended stands in the way of a later one.
        shot.set(5)
        #expect(await shot.wait(atMost: Self.long, on: reactor) == 5)
    }

    @Test func theValueEndsAWaitBeforeItsTimeIsUp() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let waiting = Task { await shot.wait(atMost: .max, on: reactor) }
        let timer = reactor.after(10 * Self.millisecond) { shot.set(9) }
        #expect(await waiting.value == 9)
        reactor.cancel(timer)
    }

    @Test func cancellationEndsAWait() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let plain = Task { await shot.wait() }
        let timed = Task { await shot.wait(atMost: Self.long, on: reactor) }
        let other = Task { await shot.wait() }
        try await Task.sleep(for: .milliseconds(20))
        plain.cancel()
        timed.cancel()
        #expect(await plain.value == nil)
        #expect(await timed.value == nil)
        // Who was not cancelled still waits.
        shot.set(1)
        #expect(await other.value == 1)
    }

    @Test func aTaskThatIsCancelledAlreadyDoesNotWait() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let waiting = Task { () -> [Int?] in
            withUnsafeCurrentTask { $0?.cancel() }
            return [await shot.wait(), await shot.wait(atMost: Self.long, on: reactor)]
        }
        #expect(await waiting.value == [nil, nil])
    }

    /// A wait whose deadline passes, and which is cancelled before its task has gone on. Seen before each waiter was
    /// noted from its beginning: the second of the two left an entry that nothing ever removed.
    @Test func deadlineAndCancellationLeaveNothing() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let executor = PatientExecutor()
        let waiting = Task(executorPreference: executor) { await shot.wait(atMost: Self.millisecond, on: reactor) }
        await executor.runNext()
        await executor.waitForJob()
        waiting.cancel()
        let result = Task { await waiting.value }
        await executor.runNext()
        #expect(await result.value == nil)
        #expect(shot.waiterCount == 0)
    }

    @Test func waitsThatAreOverLeaveNothing() async throws {
        let reactor = try Reactor()
        let shot = OneShot<Int>()
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await shot.wait(atMost: Self.long, on: reactor)
        }
        #expect(await cancelled.value == nil)
        #expect(await shot.wait(atMost: 0, on: reactor) == nil)
        #expect(shot.waiterCount == 0)
        let waiting = Task { await shot.wait() }
        while shot.waiterCount == 0 { await Task.yield() }
        shot.set(1)
        #expect(await waiting.value == 1)
        #expect(await shot.wait(atMost: Self.long, on: reactor) == 1)
        #expect(shot.waiterCount == 0)
    }

    /// Value, deadline and cancellation at the same moment: everybody is woken, once.
    @Test func racesWakeEverybodyOnce() async throws {
        let reactor = try Reactor()
        for round in 0..<200 as Range<UInt64> {
            let shot = OneShot<Int>()
            let wait = 40_000 + round * 500
            let waiters = (0..<8).map { number in
                Task {
                    number % 2 == 0 ? await shot.wait(atMost: wait, on: reactor) : await shot.wait()
                }
            }
            let setter = Task {
                _ = await OneShot<Void>().wait(atMost: wait, on: reactor)
                shot.set(1)
            }
            for waiter in waiters.prefix(4) { waiter.cancel() }
            for waiter in waiters {
                let value = await waiter.value
                #expect(value == nil || value == 1)
            }
            await setter.value
            #expect(await shot.wait() == 1)
        }
    }
}

/// Runs what it is given only when it is told to.
private final class PatientExecutor: TaskExecutor {
    private let jobs = Mutex<[UnownedJob]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    func waitForJob() async {
        while jobs.withLock({ $0.isEmpty }) { try? await Task.sleep(for: .milliseconds(1)) }
    }

    func runNext() async {
        await waitForJob()
        jobs.withLock { $0.removeFirst() }.runSynchronously(on: asUnownedTaskExecutor())
    }
}
