import Glibc
import Shared
import Testing

import struct Synchronization.Atomic

@testable import EventLoop

/// No test waits for a time to pass, but for threads that end when idle: what is waited for is an event, and the limit
/// of the suite is there for what hangs.
@Suite(.hanging(after: 2)) struct BlockingPoolTests {
    private static func pool(general: Int = 4, names: Int = 2, idle: UInt64 = 60_000_000_000) -> BlockingPool {
        BlockingPool(.init(general: general, names: names, idleNanoseconds: idle))
    }

    // MARK: Bound and order

    @Test func atMostSoManyAtOnce() async {
        let pool = Self.pool(general: 4)
        let gate = Gate()
        let done = Counter()
        for _ in 0..<50 {
            pool.perform {
                gate.pass()
                done.add(1)
            }
        }
        await gate.entered.reaches(4)
        // All of its threads are held, so that nothing can begin any more.
        #expect(pool.threadCount == 4)
        #expect(pool.waitingCount == 46)
        #expect(gate.entered.count == 4)
        gate.open()
        await done.reaches(50)
        #expect(pool.waitingCount == 0)
        #expect(pool.threadCount == 4)
    }

    @Test func oneThreadDoesWhatComesOneAfterAnother() async {
        let pool = Self.pool()
        for _ in 1...20 {
            let done = Counter()
            pool.perform { done.add(1) }
            await done.reaches(1)
            // On its way to sleep it is not idle yet, and work that comes then has another thread started.
            while pool.idleCount == 0 { await Task.yield() }
            #expect(pool.threadCount == 1)
        }
    }

    @Test func firstComeFirstServed() async {
        let pool = Self.pool(general: 1)
        let gate = Gate()
        let order = Mutex<[Int]>([])
        let done = Counter()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
        for number in 0..<100 {
            pool.perform {
                order.withLock { $0.append(number) }
                done.add(1)
            }
        }
        gate.open()
        await done.reaches(100)
        #expect(order.withLock { $0 } == Array(0..<100))
    }

    /// With one thread for all lanes.
    @Test func firstComeFirstServedAmongLanes() async {
        let isFirst = Atomic(true)
        let pool = BlockingPool(.init()) { (body) throws(SystemError) in
            guard isFirst.exchange(false, ordering: .relaxed) else {
                throw SystemError("start", "a thread", .wouldBlock)
            }
            try DetachedThread.start("a thread", stackSize: 512 * 1024, body)
        }
        let gate = Gate()
        let order = Mutex<[Int]>([])
        let done = Counter()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
        let lanes = BlockingPool.Lane.allCases
        for number in 0..<100 {
            pool.perform(in: lanes[number * 7 % lanes.count]) {
                order.withLock { $0.append(number) }
                done.add(1)
            }
        }
        gate.open()
        await done.reaches(100)
        #expect(order.withLock { $0 } == Array(0..<100))
    }

    @Test func whatWasWithdrawnIsNotDone() async {
        let pool = Self.pool(general: 1, names: 1)
        let gate = Gate()
        let done = Counter()
        pool.perform { gate.pass() }
        pool.perform(in: .names) { gate.pass() }
        await gate.entered.reaches(2)
        let lane: [BlockingPool.Lane] = [.general, .names]
        let tickets = (0..<10).map { number in pool.perform(in: lane[number % 2]) { done.add(1000) } }
        pool.perform { done.add(1) }
        for ticket in tickets { #expect(pool.withdraw(ticket)) }
        #expect(!pool.withdraw(tickets[0]))
        #expect(pool.waitingCount == 1)
        gate.open()
        await done.reaches(1)
        #expect(done.count == 1)
    }

    // MARK: Lanes

    /// Seen without lanes: sixteen starts that hung at a path of a dead file system, or lookups at a dead server, took
    /// every thread, and no task's end was known any more.
    @Test(arguments: BlockingPool.Lane.allCases)
    func workThatHangsInOneLaneLeavesTheOthersAllTheirThreads(_ hanging: BlockingPool.Lane) async {
        let pool = BlockingPool()
        let limits = BlockingPool.Limits()
        let gate = Gate()
        let hung = Counter()
        for _ in 0..<50 {
            pool.perform(in: hanging) {
                gate.pass()
                hung.add(1)
            }
        }
        await gate.entered.reaches(limits[hanging])
        #expect(pool.isFull(hanging))
        for lane in BlockingPool.Lane.allCases where lane != hanging {
            #expect(!pool.isFull(lane))
            let other = Gate()
            for _ in 0..<limits[lane] { pool.perform(in: lane) { other.pass() } }
            // Each of them has a thread, all at the same time.
            await other.entered.reaches(limits[lane])
            other.open()
        }
        #expect(gate.entered.count == limits[hanging])
        #expect(hung.count == 0)
        #expect(pool.waitingCount == 50 - limits[hanging])
        gate.open()
        await hung.reaches(50)
    }

    /// All lanes hang but the one for records and stops.
    @Test func recordsAndStopsAlwaysHaveThreads() async {
        let pool = BlockingPool()
        let gate = Gate()
        let hanging = BlockingPool.Lane.allCases.filter { $0 != .general }
        for lane in hanging { for _ in 0..<50 { pool.perform(in: lane) { gate.pass() } } }
        await gate.entered.reaches(hanging.reduce(0) { $0 + BlockingPool.Limits()[$1] })
        let done = Counter()
        for _ in 0..<100 { pool.perform { done.add(1) } }
        await done.reaches(100)
        #expect(await Task(executorPreference: pool) { 7 }.value == 7)
        gate.open()
    }

    @Test func aTaskThatPrefersALaneIsBoundByIt() async {
        let pool = BlockingPool(.init(starts: 2))
        let gate = Gate()
        let starts = (0..<10).map { _ in
            Task(executorPreference: pool.executor(for: .starts)) { () -> String in
                gate.pass()
                return Self.threadName
            }
        }
        await gate.entered.reaches(2)
        #expect(await pool.run { Self.threadName } == "exec2-blocking")
        #expect(pool.waitingCount == 8)
        #expect(gate.entered.count == 2)
        gate.open()
        for start in starts { #expect(await start.value == "exec2-blocking") }
        #expect(await pool.run(in: .starts) { 7 } == 7)
    }

    @Test func neverMoreLookupsAtOnceThanTheirLimit() async {
        let pool = Self.pool(general: 6, names: 2)
        let running = Counter()
        let done = Counter()
        for number in 0..<600 {
            pool.perform(in: number % 2 == 0 ? .names : .general) {
                if number % 2 == 0 { running.add(1) }
                sched_yield()
                if number % 2 == 0 { running.add(-1) }
                done.add(1)
            }
        }
        await done.reaches(600)
        #expect(running.maximum <= 2)
    }

    // MARK: Swift tasks

    private static var threadName: String {
        // /proc/<pid>/task/<tid>/comm, with its newline (proc(5)).
        let name = (try? HostFile.read("/proc/thread-self/comm")) ?? []
        return String(decoding: name.dropLast(), as: UTF8.self)
    }

    @Test func aTaskThatPrefersItRunsOnItsThreads() async throws {
        let pool = Self.pool()
        let names = await Task(executorPreference: pool) { () async -> [String] in
            var names = [Self.threadName]
            await Task.yield()
            names.append(Self.threadName)
            names.append(
                await withTaskGroup(of: String.self) { group in
                    group.addTask { Self.threadName }
                    return await group.next() ?? ""
                })
            return names
        }.value
        #expect(names == Array(repeating: "exec2-blocking", count: 3))
    }

    @Test func aPieceOfATaskRunsOnItsThreads() async throws {
        let pool = Self.pool()
        #expect(Self.threadName != "exec2-blocking")
        #expect(await pool.run { Self.threadName } == "exec2-blocking")
        #expect(Self.threadName != "exec2-blocking")
        await #expect(throws: SystemError.self) {
            try await pool.run { () throws(SystemError) in throw SystemError("open", "/x", .noSuchFile) }
        }
    }

    /// A call that waits holds no thread.
    @Test func aTaskThatWaitsHoldsNoThread() async {
        let pool = Self.pool(general: 1)
        let shot = OneShot<Int>()
        let waiting = (0..<100).map { _ in Task(executorPreference: pool) { await shot.wait() } }
        await Task(executorPreference: pool) { _ = shot.set(7) }.value
        for task in waiting { #expect(await task.value == 7) }
    }

    @Test func cancellationReachesATaskOnItsThreads() async {
        let pool = Self.pool()
        let task = Task(executorPreference: pool) { await OneShot<Int>().wait() }
        task.cancel()
        #expect(await task.value == nil)
    }

    @Test func aResultIsGivenUpWithItsTask() async {
        let pool = Self.pool()
        let gate = Gate()
        let task = Task { await pool.result { gate.pass() } != nil }
        await gate.entered.reaches(1)
        task.cancel()
        #expect(await task.value == false)
        gate.open()
        #expect(await pool.result { 7 } == 7)
    }

    // MARK: What is kept

    private final class Marked: Sendable {
        let released: OneShot<Void>
        init(_ released: OneShot<Void>) { self.released = released }
        deinit { released.set(()) }
    }

    /// The thread sleeps, and the object is gone: a closure that it kept would keep a task's descriptors and memory.
    @Test func aSleepingThreadKeepsNothingOfItsLastWork() async {
        let pool = Self.pool()
        for lane in [BlockingPool.Lane.general, .names] {
            let released = OneShot<Void>()
            let done = Counter()
            do {
                let marked = Marked(released)
                pool.perform(in: lane) {
                    withExtendedLifetime(marked) { done.add(1) }
                }
            }
            await done.reaches(1)
            #expect(await released.wait() != nil)
            #expect(pool.threadCount >= 1)
        }
        let released = OneShot<Void>()
        await Task(executorPreference: pool) { [marked = Marked(released)] in withExtendedLifetime(marked) {} }.value
        #expect(await released.wait() != nil)
    }

    @Test func whatWasWithdrawnIsNotKept() async {
        let pool = Self.pool(general: 1)
        let gate = Gate()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
        let released = OneShot<Void>()
        let ticket = pool.perform { [marked = Marked(released)] in withExtendedLifetime(marked) {} }
        #expect(released.current == nil)
        #expect(pool.withdraw(ticket))
        #expect(released.current != nil)
        gate.open()
    }

    @Test func idleThreadsEnd() async throws {
        let pool = Self.pool(general: 4, idle: 1_000_000)
        for _ in 0..<3 {
            let gate = Gate()
            let done = Counter()
            for _ in 0..<4 {
                pool.perform {
                    gate.pass()
                    done.add(1)
                }
            }
            await gate.entered.reaches(4)
            #expect(pool.threadCount == 4)
            gate.open()
            await done.reaches(4)
            while pool.threadCount > 0 { await Task.yield() }
        }
    }

    /// Work that comes while threads are just ending is done all the same.
    @Test func noWorkIsLostToThreadsThatEnd() async {
        let pool = Self.pool(general: 3, idle: 1000)
        for round in 1...2000 {
            let done = Counter()
            pool.perform(in: round % 2 == 0 ? .names : .general) { done.add(1) }
            await done.reaches(1)
        }
    }

    // MARK: Shortages

    /// A host that has no more threads: calls were never answered, had nobody come for the work.
    @Test func withoutAnyThreadTheWorkIsDoneOnSwiftsOwn() async {
        let pool = BlockingPool(.init(general: 4, names: 1)) { (_) throws(SystemError) in
            throw SystemError("start", "a thread", .wouldBlock)
        }
        let done = Counter()
        for number in 0..<100 { pool.perform(in: number % 2 == 0 ? .names : .general) { done.add(1) } }
        await done.reaches(100)
        #expect(await Task(executorPreference: pool) { 7 }.value == 7)
        #expect(await pool.run { 8 } == 8)
        #expect(pool.threadCount == 0)
    }

    @Test func theFewThreadsThatThereAreDoAllTheWork() async {
        let first = Atomic(true)
        // The thread is counted at the end, however long that takes.
        let pool = BlockingPool(.init(general: 4, names: 1, idleNanoseconds: .max)) { (body) throws(SystemError) in
            guard first.exchange(false, ordering: .relaxed) else { throw SystemError("start", "a thread", .wouldBlock) }
            try DetachedThread.start("a thread", stackSize: 512 * 1024, body)
        }
        let done = Counter()
        for _ in 0..<100 { pool.perform { done.add(1) } }
        await done.reaches(100)
        #expect(pool.threadCount == 1)
    }

    /// Seen before: work that had come while no thread could be started waited for one that hung, however many threads
    /// there could be by then.
    @Test func threadsAreStartedAgainAfterAShortage() async {
        let shortage = Atomic(false)
        let pool = BlockingPool(.init(general: 4)) { (body) throws(SystemError) in
            guard !shortage.load(ordering: .acquiring) else { throw SystemError("start", "a thread", .wouldBlock) }
            try DetachedThread.start("a thread", stackSize: 512 * 1024, body)
        }
        let gate = Gate()
        let done = Counter()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
        shortage.store(true, ordering: .releasing)
        for _ in 0..<10 { pool.perform { done.add(1) } }
        #expect(pool.threadCount == 1)
        shortage.store(false, ordering: .releasing)
        pool.perform { done.add(1) }
        await done.reaches(11)
        gate.open()
    }

    // MARK: Races

    @Test func manyAtOnce() async {
        let pool = Self.pool(general: 8, names: 3, idle: 10_000)
        let done = Counter()
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    for number in 0..<500 {
                        let ticket = pool.perform(in: (worker + number) % 2 == 0 ? .names : .general) { done.add(1) }
                        if number % 7 == 0, pool.withdraw(ticket) { done.add(1) }
                        if number % 50 == 0 { _ = await pool.run { 1 } }
                    }
                }
            }
        }
        await done.reaches(4000)
        #expect(done.count == 4000)
    }
}
