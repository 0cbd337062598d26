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

    fileprivate enum Work: Sendable {
        case job(UnownedJob, any TaskExecutor)
        case body(@Sendable () -> Void)
    }

    fileprivate struct Waiting: Sendable {
        let number: UInt64
        let work: Work
    }

    fileprivate struct LaneState {
        let lane: Lane
        let maximumRunning: Int
        var running = 0
        var waiting = FIFOQueue<Waiting>()

        var mayBegin: Bool { running < maximumRunning }
    }

    fileprivate struct State {
        /// By `Lane.rawValue`. They are changed in place: a copy of one would copy all that waits in it, with the lock held.
        var lanes: [LaneState]
        /// Threads that exist, and those of them that are idle, the last to become so last.
        var threads = 0
        var idle: [ThreadSignal] = []
        /// A thread could not be started, and since then no thread was without work.
        var lacksThreads = false
        var nextNumber: UInt64 = 1

        init(_ limits: Limits) {
            lanes = Lane.allCases.map { LaneState(lane: $0, maximumRunning: limits[$0]) }
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

    private let idleNanoseconds: UInt64
    private let maximumThreads: Int
    private let startThread: StartThread
    private let state: SleepingMutex<State>

    /// - Parameter startThread: Another way to start a thread, for tests.
    init(
        _ limits: Limits = Limits(), startThread: @escaping StartThread = BlockingPool.startDetachedThread
    ) {
        idleNanoseconds = limits.idleNanoseconds
        maximumThreads = Lane.allCases.reduce(0) { $0 + limits[$1] }
        self.startThread = startThread
        state = SleepingMutex(State(limits))
    }

    private static func startDetachedThread(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        // Modules of name services run on it, and are made for more than the 512 KiB that suffice elsewhere.
        try DetachedThread.start("a thread for blocking calls", stackSize: 2 << 20, body)
    }

    /// How many threads there are.
    var threadCount: Int { state.withLock { $0.threads } }
    /// How many of them wait for work.
    var idleCount: Int { state.withLock { $0.idle.count } }
    /// How much work has not begun.
    var waitingCount: Int { state.withLock { $0.lanes.reduce(0) { $0 + $1.waiting.count } } }

    /// Whether work that is added to the lane now has to wait for other work of that lane.
    package func isFull(_ lane: Lane) -> Bool {
        state.withLock { state in
            let lane = state.lanes[lane.rawValue]
            return lane.running + lane.waiting.count >= lane.maximumRunning
        }
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
            state.lanes[ticket.lane.rawValue].waiting.remove { $0.number == ticket.number }
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
            let index = lane.rawValue
            let mayBegin =
                state.lanes[index].running + state.lanes[index].waiting.count < state.lanes[index].maximumRunning
            state.lanes[index].waiting.append(Waiting(number: number, work: work))
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
        var finished: Lane?
        while let (work, lane) = state.withLock({ $0.next(after: finished) }) {
            work.perform()
            finished = lane
        }
    }

    // MARK: Doing work

    /// What each thread runs: it works until it has been idle for too long.
    private func runThread() {
        _ = exec2_set_process_name("exec2-blocking")
        let signal = ThreadSignal()
        var finished: Lane?
        while true {
            let next = state.withLock { state in
                let next = state.next(after: finished)
                if next == nil { state.becomeIdle(signal) }
                return next
            }
            // The work is released before it counts as finished.
            if let (work, lane) = next {
                work.perform()
                finished = lane
            } else {
                finished = nil
                guard waitForWork(signal) else { return }
            }
        }
    }

    /// Waits for work; false where the thread is to end.
    private func waitForWork(_ signal: ThreadSignal) -> Bool {
        if signal.wait(atMost: idleNanoseconds) { return true }
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

extension BlockingPool.Work {
    fileprivate consuming func perform() {
        switch self {
        case .job(let job, let executor): job.runSynchronously(on: executor.asUnownedTaskExecutor())
        case .body(let body): body()
        }
    }
}

extension BlockingPool.State {
    /// The work that has waited longest of all that may begin; nil if no work may.
    /// - Parameter finished: The lane of the work that the thread has done before.
    fileprivate mutating func next(after finished: BlockingPool.Lane?) -> (BlockingPool.Work, BlockingPool.Lane)? {
        if let finished { lanes[finished.rawValue].running -= 1 }
        var next: (number: UInt64, index: Int)?
        for index in lanes.indices where lanes[index].mayBegin {
            guard let number = lanes[index].waiting.first?.number, number < next?.number ?? .max else { continue }
            next = (number, index)
        }
        guard let index = next?.index, let taken = lanes[index].waiting.removeFirst() else { return nil }
        lanes[index].running += 1
        return (taken.work, lanes[index].lane)
    }

    fileprivate mutating func becomeIdle(_ signal: ThreadSignal) {
        idle.append(signal)
        lacksThreads = false
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
