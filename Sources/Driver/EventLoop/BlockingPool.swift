import CLinux
import Shared

/// Threads for blocking calls: name services, files, the creation of processes.
///
/// Swift's own threads are as many as there are processors. A call that waits in the kernel there, for a directory
/// server that does not answer say, delays every other call. A Swift task that may block prefers this executor or that
/// of another lane (`Task(executorPreference:)`, `withTaskExecutorPreference`), or has single pieces of work done by it
/// (`perform`).
///
/// Work is in lanes. In each lane it begins in the order of its arrival, and at most `Limits` of it runs at once. The
/// threads are shared, and there may be as many as all lanes together can use: work that hangs in one lane never takes
/// a thread from another. A thread is started when work arrives and no thread is idle, and ends after some time without
/// work.
package final class BlockingPool: TaskExecutor {
    /// Kinds of work, by what can make it hang.
    package enum Lane: Int, CaseIterable, Sendable {
        /// Exit records, stops, ends and destroys, and whatever has no lane of its own.
        case general
        /// The starts of tasks and of commands in them, which open paths that operators, jobs and clients name.
        case starts
        /// Recoveries, and searches in the state directory for tasks that this process does not know.
        case recoveries
        /// Facts of the host, for which the paths in the plugin's options are looked at.
        case hostFacts
        /// Which objects of the host the paths of tasks' roots lead to, for all starts together.
        case templates
        /// Name services (nsswitch.conf(5)), which may ask a server on the network.
        case names
        /// The same for accounts of the host's own files, while lookups of others fill the lane before.
        case localNames
    }

    /// How much work of each lane may run at once.
    struct Limits: Sendable {
        var general = 8
        var starts = 8
        var recoveries = 4
        /// Those of the configuration in force, and those of one before that hang.
        var hostFacts = 2
        /// As with the facts of the host.
        var templates = 2
        var names = 4
        var localNames = 2
        /// How long a thread stays without work.
        var idleNanoseconds: UInt64 = 10_000_000_000

        subscript(lane: Lane) -> Int {
            switch lane {
            case .general: general
            case .starts: starts
            case .recoveries: recoveries
            case .hostFacts: hostFacts
            case .templates: templates
            case .names: names
            case .localNames: localNames
            }
        }
    }

    /// A piece of work that was given to `perform`.
    package struct Ticket: Sendable {
        fileprivate let lane: Lane
        fileprivate let number: UInt64
    }

    private enum Work: Sendable {
        case job(UnownedJob, any TaskExecutor)
        case body(@Sendable () -> Void)
    }

    private struct Waiting: Sendable {
        let number: UInt64
        let work: Work
    }

    private struct LaneState {
        var waiting = FIFOQueue<Waiting>()
        /// How much of its work is running.
        var running = 0
    }

    private struct State {
        var lanes = Lane.allCases.map { _ in LaneState() }
        /// Threads that exist, and those of them that are idle, the last to become so last.
        var threads = 0
        var idle: [ThreadSignal] = []
        /// A thread could not be started, and since then no thread was without work.
        var lacksThreads = false
        var nextNumber: UInt64 = 1

        subscript(lane: Lane) -> LaneState {
            get { lanes[lane.rawValue] }
            set { lanes[lane.rawValue] = newValue }
        }
    }

    /// What brings a thread to a new piece of work.
    private enum Summons {
        /// It waits for a thread that is busy.
        case none
        case startThread
        case wake(ThreadSignal)
    }

    typealias StartThread = @Sendable (_ body: @escaping @Sendable () -> Void) throws(SystemError) -> Void

    /// The one of this process.
    package static let shared = BlockingPool()
    /// Its executor for the lane `starts`.
    package static let starts = shared.executor(for: .starts)
    /// Its executor for the lane `recoveries`.
    package static let recoveries = shared.executor(for: .recoveries)

    private let limits: Limits
    private let maximumThreads: Int
    private let startThread: StartThread
    private let state = Mutex(State())

    /// - Parameter startThread: Another way to start a thread, for tests.
    init(
        _ limits: Limits = Limits(), startThread: @escaping StartThread = BlockingPool.startDetachedThread
    ) {
        self.limits = limits
        maximumThreads = Lane.allCases.reduce(0) { $0 + limits[$1] }
        self.startThread = startThread
    }

    private static func startDetachedThread(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        // Modules of name services run on it, and are made for more than the 512 KiB that suffice elsewhere.
        try DetachedThread.start("a thread for blocking calls", stackSize: 2 << 20, body)
    }

    /// How many threads there are.
    var threadCount: Int { state.withLock { $0.threads } }
    /// How much work has not begun.
    var waitingCount: Int { state.withLock { $0.lanes.reduce(0) { $0 + $1.waiting.count } } }

    /// Whether work that is added to the lane now has to wait for other work of that lane.
    package func isFull(_ lane: Lane) -> Bool {
        state.withLock { $0[lane].running + $0[lane].waiting.count >= limits[lane] }
    }

    // MARK: Adding work

    package func enqueue(_ job: consuming ExecutorJob) { enqueue(UnownedJob(job), .general, self) }

    fileprivate func enqueue(_ job: UnownedJob, _ lane: Lane, _ executor: any TaskExecutor) {
        _ = add(.job(job, executor), lane)
    }

    /// An executor whose Swift tasks run in this lane.
    package func executor(for lane: Lane) -> any TaskExecutor {
        lane == .general ? self : LaneExecutor(self, lane)
    }

    /// Calls `body` on one of the threads.
    @discardableResult
    package func perform(in lane: Lane = .general, _ body: @escaping @Sendable () -> Void) -> Ticket {
        Ticket(lane: lane, number: add(.body(body), lane))
    }

    /// Removes work that has not begun; false where it has.
    @discardableResult
    package func withdraw(_ ticket: Ticket) -> Bool {
        let withdrawn = state.withLock { state in
            state[ticket.lane].waiting.remove { $0.number == ticket.number }
        }
        return withdrawn != nil
    }

    /// Runs `body` on one of the threads, and returns when it has.
    package func run<Value: Sendable, Failure: Error>(
        in lane: Lane = .general, _ body: () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        try await withTaskExecutorPreference(executor(for: lane)) { () async throws(Failure) in try body() }
    }

    /// What `body` answers, called on one of the threads; nil when the Swift task is cancelled first. The thread then
    /// goes on with it, for the kernel cannot be told to give up.
    package func result<Value: Sendable>(of body: @escaping @Sendable () -> Value) async -> Value? {
        let answer = OneShot<Value>()
        let ticket = perform { answer.set(body()) }
        if let value = await answer.wait() { return value }
        withdraw(ticket)
        return nil
    }

    private func add(_ work: Work, _ lane: Lane) -> UInt64 {
        let (number, summons) = state.withLock { state in
            let number = state.nextNumber
            state.nextNumber += 1
            let mayBegin = state[lane].running + state[lane].waiting.count < limits[lane]
            state[lane].waiting.append(Waiting(number: number, work: work))
            return (number, mayBegin || state.lacksThreads ? summonThread(&state) : .none)
        }
        follow(summons)
        return number
    }

    /// Wakes an idle thread, or has one started. That there is one too many is no harm, for it becomes idle.
    private func summonThread(_ state: inout State) -> Summons {
        if let idle = state.idle.popLast() { return .wake(idle) }
        guard state.threads < maximumThreads else { return .none }
        state.threads += 1
        return .startThread
    }

    private func follow(_ summons: Summons) {
        switch summons {
        case .none: return
        case .wake(let signal): signal.raise()
        case .startThread:
            do throws(SystemError) {
                try startThread { [self] in runThread() }
            } catch {
                let isAlone = state.withLock { state in
                    state.threads -= 1
                    state.lacksThreads = true
                    return state.threads == 0
                }
                // No other thread would do the work: for want of memory or of processes better on one of Swift's own
                // threads than never.
                if isAlone { Task.detached { [self] in workUntilNoneWaits() } }
            }
        }
    }

    private func workUntilNoneWaits() {
        while doNext() {}
    }

    // MARK: Doing work

    /// What each thread runs: it works until it has been idle for too long.
    private func runThread() {
        _ = exec2_set_process_name("exec2-blocking")
        let signal = ThreadSignal()
        while true {
            if doNext() { continue }
            guard waitForWork(signal) else { return }
        }
    }

    /// Does the work that has waited longest of all that may begin, and releases it; false if no work may begin.
    private func doNext() -> Bool {
        guard let (work, lane) = state.withLock({ takeNext(&$0) }) else { return false }
        switch work {
        case .job(let job, let executor): job.runSynchronously(on: executor.asUnownedTaskExecutor())
        case .body(let body): body()
        }
        state.withLock { $0[lane].running -= 1 }
        return true
    }

    private func takeNext(_ state: inout State) -> (Work, Lane)? {
        var next: (number: UInt64, lane: Lane)?
        for lane in Lane.allCases where state[lane].running < limits[lane] {
            guard let first = state[lane].waiting.first, first.number < next?.number ?? .max else { continue }
            next = (first.number, lane)
        }
        guard let lane = next?.lane, let taken = state[lane].waiting.removeFirst() else { return nil }
        state[lane].running += 1
        return (taken.work, lane)
    }

    /// Waits for work; false where the thread is to end.
    private func waitForWork(_ signal: ThreadSignal) -> Bool {
        let hasWork = state.withLock { state in
            let hasWork = Lane.allCases.contains { !state[$0].waiting.isEmpty && state[$0].running < limits[$0] }
            if !hasWork {
                state.idle.append(signal)
                state.lacksThreads = false
            }
            return hasWork
        }
        if hasWork || signal.wait(atMost: limits.idleNanoseconds) { return true }
        let ends = state.withLock { state in
            // Not there: it has been woken at this very moment.
            guard let index = state.idle.firstIndex(where: { $0 === signal }) else { return false }
            state.idle.remove(at: index)
            state.threads -= 1
            return true
        }
        if ends { return false }
        // The signal is raised, or will be at once.
        return signal.wait(atMost: .max)
    }
}

/// The executor of one lane. Whoever prefers it keeps it.
private final class LaneExecutor: TaskExecutor {
    private let pool: BlockingPool
    private let lane: BlockingPool.Lane

    init(_ pool: BlockingPool, _ lane: BlockingPool.Lane) {
        self.pool = pool
        self.lane = lane
    }

    func enqueue(_ job: consuming ExecutorJob) { pool.enqueue(UnownedJob(job), lane, self) }
}
