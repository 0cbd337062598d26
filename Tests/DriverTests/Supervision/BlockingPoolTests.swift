import Glibc
import Shared
import Testing

import struct Synchronization.Atomic

@testable import EventLoop
@testable import HCLog
@testable import Host
@testable import Planning

/// No test waits for a time to pass, but for threads that end when idle: what is waited for is an event, and the limit
/// of the suite is there for what hangs.
@Suite(.timeLimit(.minutes(2))) struct BlockingPoolTests {
    private static func pool(threads: Int = 4, names: Int = 2, idle: UInt64 = 60_000_000_000) -> BlockingPool {
        BlockingPool(.init(threads: threads, names: names, idleNanoseconds: idle))
    }

    /// Counts, and lets wait for a count.
    private final class Counter: Sendable {
        private let state = Mutex((count: 0, maximum: 0, waiters: [(Int, UnsafeContinuation<Void, Never>)]()))

        var count: Int { state.withLock { $0.count } }
        var maximum: Int { state.withLock { $0.maximum } }

        func add(_ number: Int) {
            let due = state.withLock { state in
                state.count += number
                state.maximum = max(state.maximum, state.count)
                let due = state.waiters.filter { $0.0 <= state.count }
                state.waiters.removeAll { $0.0 <= state.count }
                return due
            }
            for waiter in due { waiter.1.resume() }
        }

        func reaches(_ count: Int) async {
            await withUnsafeContinuation { continuation in
                let isThere = state.withLock { state in
                    if state.count < count { state.waiters.append((count, continuation)) }
                    return state.count >= count
                }
                if isThere { continuation.resume() }
            }
        }
    }

    /// Holds threads until it is opened, as a name service that hangs does.
    private final class Gate: Sendable {
        let entered = Counter()
        private let signals = Mutex<[ThreadSignal]?>([])

        func pass() {
            let signal = ThreadSignal()
            let isClosed = signals.withLock { signals in
                signals?.append(signal)
                return signals != nil
            }
            entered.add(1)
            if isClosed { _ = signal.wait(atMost: .max) }
        }

        func open() {
            let held = signals.withLock { signals in
                defer { signals = nil }
                return signals ?? []
            }
            for signal in held { signal.raise() }
        }
    }

    // MARK: Bound and order

    @Test func atMostSoManyAtOnce() async {
        let pool = Self.pool(threads: 4)
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
        for number in 1...20 {
            let done = Counter()
            pool.perform { done.add(1) }
            await done.reaches(1)
            // That before may be on its way to sleep still.
            #expect(pool.threadCount <= min(number, 2))
        }
    }

    @Test func firstComeFirstServed() async {
        let pool = Self.pool(threads: 1)
        let gate = Gate()
        let order = Mutex<[Int]>([])
        let done = Counter()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
        for number in 0..<100 {
            pool.perform(in: number % 3 == 0 ? .names : .general) {
                order.withLock { $0.append(number) }
                done.add(1)
            }
        }
        gate.open()
        await done.reaches(100)
        #expect(order.withLock { $0 } == Array(0..<100))
    }

    @Test func whatWasWithdrawnIsNotDone() async {
        let pool = Self.pool(threads: 1)
        let gate = Gate()
        let done = Counter()
        pool.perform { gate.pass() }
        await gate.entered.reaches(1)
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

    // MARK: Name services

    /// Without a lane of their own, lookups that hang held every thread, and with them the calls about all other tasks.
    @Test func lookupsThatHangLeaveThreadsForAllElse() async {
        let pool = Self.pool(threads: 4, names: 2)
        let gate = Gate()
        let done = Counter()
        let looked = Counter()
        for _ in 0..<50 {
            pool.perform(in: .names) {
                gate.pass()
                looked.add(1)
            }
        }
        await gate.entered.reaches(2)
        for _ in 0..<100 { pool.perform { done.add(1) } }
        await done.reaches(100)
        #expect(gate.entered.count == 2)
        #expect(looked.count == 0)
        #expect(pool.waitingCount == 48)
        gate.open()
        await looked.reaches(50)
    }

    @Test func neverMoreLookupsAtOnceThanTheirLimit() async {
        let pool = Self.pool(threads: 6, names: 2)
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

    private static func lookUp(
        _ pool: BlockingPool, seconds: UInt64, _ answer: @escaping @Sendable (String) -> Result<TaskUser, TaskUserError>
    ) throws -> UserLookUp {
        UserLookUp(reactor: try Reactor(), pool: pool, nanoseconds: seconds * 1_000_000_000, resolve: answer)
    }

    @Test func aLookupIsAnswered() async throws {
        let expected = TaskUser(name: "alice", uid: 7, gid: 7, groups: [7], home: "/home/alice")
        let users = try Self.lookUp(Self.pool(), seconds: 3600) { name in
            name == "alice" ? .success(expected) : .failure(.notFound(name))
        }
        #expect(try await users.user("alice") == expected)
        await #expect(throws: TaskUserError.notFound("bob")) { try await users.user("bob") }
    }

    /// No name service is asked for a user that is made up by the host: such a task starts whatever hangs.
    @Test func aDynamicUserIsNotLookedUp() async throws {
        let users = try Self.lookUp(Self.pool(), seconds: 3600) { .failure(.notFound($0)) }
        #expect(try await users.user("nomad-80000").uid == 80000)
    }

    @Test func aLookupThatHangsEndsWithItsTime() async throws {
        let pool = Self.pool()
        let gate = Gate()
        let users = try Self.lookUp(pool, seconds: 0) { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        let error = await #expect(throws: TaskUserError.self) { try await users.user("alice") }
        #expect(error == .noAnswer("alice", seconds: 0))
        // What has not begun is not kept for nobody.
        for _ in 0..<10 { _ = try? await users.user("alice") }
        #expect(pool.waitingCount == 0)
        gate.open()
    }

    @Test func aLookupThatHangsIsGivenUpWithItsTask() async throws {
        let gate = Gate()
        let users = try Self.lookUp(Self.pool(), seconds: 3600) { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        let looking = Task { () async -> TaskUserError? in
            do throws(TaskUserError) {
                _ = try await users.user("alice")
                return nil
            } catch {
                return error
            }
        }
        await gate.entered.reaches(1)
        looking.cancel()
        #expect(await looking.value == .givenUp("alice"))
        gate.open()
    }

    @Test func theErrorSaysWhoWasLookedUpAndWhatToDo() {
        let text = TaskUserError.noAnswer("alice", seconds: 20).description
        for part in ["alice", "getpwnam", "20 s", "/etc/nsswitch.conf", "getent passwd"] {
            #expect(text.contains(part))
        }
        #expect(TaskUserError.noAnswer("alice", seconds: 20).mayPass)
        #expect(!TaskUserError.notFound("alice").mayPass)
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
        let pool = Self.pool(threads: 1)
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
        let pool = Self.pool(threads: 1)
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
        let pool = Self.pool(threads: 4, idle: 1_000_000)
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
        let pool = Self.pool(threads: 3, idle: 1000)
        for round in 1...2000 {
            let done = Counter()
            pool.perform(in: round % 2 == 0 ? .names : .general) { done.add(1) }
            await done.reaches(1)
        }
    }

    // MARK: Shortages

    /// A host that has no more threads: calls were never answered, had nobody come for the work.
    @Test func withoutAnyThreadTheWorkIsDoneOnSwiftsOwn() async {
        let pool = BlockingPool(.init(threads: 4, names: 1)) { (_) throws(SystemError) in
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
        let pool = BlockingPool(.init(threads: 4, names: 1)) { (body) throws(SystemError) in
            guard first.exchange(false, ordering: .relaxed) else { throw SystemError("start", "a thread", .wouldBlock) }
            try DetachedThread.start("a thread", stackSize: 512 * 1024, body)
        }
        let done = Counter()
        for _ in 0..<100 { pool.perform { done.add(1) } }
        await done.reaches(100)
        #expect(pool.threadCount == 1)
    }

    // MARK: Races

    @Test func manyAtOnce() async {
        let pool = Self.pool(threads: 8, names: 3, idle: 10_000)
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
