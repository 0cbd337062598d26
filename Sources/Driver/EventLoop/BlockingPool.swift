import CLinux
import Shared

/// Threads for what can block: name services, files, the creation of processes.
///
/// Swift's own threads are no more than there are processors. Calls that wait on them in the kernel, for a directory
/// server that is dead say, would hold up every other call. A Swift task that may block prefers this executor
/// (`Task(executorPreference:)`, `withTaskExecutorPreference`), or has single pieces of work done by it (`perform`).
///
/// Work is begun in the order in which it came, by as many threads as there is work for and at most `Limits.threads`.
/// A thread is started when work finds all others busy, and ends when it has had nothing to do for a while. Name
/// services have a lane of their own: as many of their lookups hang as may run at once, the other threads are free for
/// all else.
package final class BlockingPool: TaskExecutor {
    package enum Lane: Sendable {
        case general
        /// Name services (nsswitch.conf(5)), which may ask a server on the network.
        case names
    }

    struct Limits: Sendable {
        /// Of all threads.
        var threads = 16
        /// Of those that wait for name services.
        var names = 4
        /// How long a thread stays without work.
        var idleNanoseconds: UInt64 = 10_000_000_000
    }

    /// A piece of work that was given to `perform`.
    package struct Ticket: Sendable { fileprivate let number: UInt64 }

    private enum Work: Sendable {
        case job(UnownedJob)
        case body(@Sendable () -> Void)
    }

    private struct Waiting: Sendable {
        let number: UInt64
        let work: Work
    }

    private struct State {
        var general = WaitingLine<Waiting>()
        var names = WaitingLine<Waiting>()
        /// Lookups under way.
        var busyNames = 0
        /// Threads that are there, and those of them that sleep, the last to fall asleep last.
        var threads = 0
        var sleepers: [ThreadSignal] = []
        var nextNumber: UInt64 = 1
    }

    private enum Step {
        case none, startThread
        case wake(ThreadSignal)
    }

    typealias StartThread = @Sendable (_ body: @escaping @Sendable () -> Void) throws(SystemError) -> Void

    /// The one of this process.
    package static let shared = BlockingPool()

    private let limits: Limits
    private let startThread: StartThread
    private let state = Mutex(State())

    /// - Parameter startThread: Another way to start a thread, for tests.
    init(
        _ limits: Limits = Limits(), startThread: @escaping StartThread = BlockingPool.startDetachedThread
    ) {
        self.limits = limits
        self.startThread = startThread
    }

    private static func startDetachedThread(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        // Modules of name services run on it, and are made for more than the 512 KiB that suffice elsewhere.
        try DetachedThread.start("a thread for what can block", stackSize: 2 << 20, body)
    }

    /// How many threads there are.
    var threadCount: Int { state.withLock { $0.threads } }
    /// How much work has not begun.
    var waitingCount: Int { state.withLock { $0.general.count + $0.names.count } }

    // MARK: Work comes

    package func enqueue(_ job: consuming ExecutorJob) { _ = add(.job(UnownedJob(job)), .general) }

    /// Calls `body` on one of the threads.
    @discardableResult
    package func perform(in lane: Lane = .general, _ body: @escaping @Sendable () -> Void) -> Ticket {
        Ticket(number: add(.body(body), lane))
    }

    /// Forgets work that has not begun; false for what has.
    @discardableResult
    package func withdraw(_ ticket: Ticket) -> Bool {
        let withdrawn = state.withLock { state in
            state.general.remove { $0.number == ticket.number } ?? state.names.remove { $0.number == ticket.number }
        }
        return withdrawn != nil
    }

    /// Runs `body` on one of the threads, and returns when it has.
    package func run<Value: Sendable, Failure: Error>(
        _ body: () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        try await withTaskExecutorPreference(self) { () async throws(Failure) in try body() }
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
        let (number, step) = state.withLock { state in
            let number = state.nextNumber
            state.nextNumber += 1
            let waiting = Waiting(number: number, work: work)
            let mayBegin: Bool
            switch lane {
            case .general:
                state.general.append(waiting)
                mayBegin = true
            case .names:
                mayBegin = state.busyNames + state.names.count < limits.names
                state.names.append(waiting)
            }
            return (number, mayBegin ? nextStep(&state) : .none)
        }
        take(step)
        return number
    }

    /// Who is to come for one more piece of work.
    private func nextStep(_ state: inout State) -> Step {
        if let sleeper = state.sleepers.popLast() { return .wake(sleeper) }
        guard state.threads < limits.threads else { return .none }
        state.threads += 1
        return .startThread
    }

    private func take(_ step: Step) {
        switch step {
        case .none: return
        case .wake(let signal): signal.raise()
        case .startThread:
            do throws(SystemError) {
                try startThread { [self] in work() }
            } catch {
                let isAlone = state.withLock { state in
                    state.threads -= 1
                    return state.threads == 0
                }
                // Nobody else would come for the work: for want of memory or of processes better on one of Swift's own
                // threads than never.
                if isAlone { Task.detached { [self] in doWhatWaits() } }
            }
        }
    }

    private func doWhatWaits() {
        while doNext() {}
    }

    // MARK: Work is done

    /// A thread's life.
    private func work() {
        _ = exec2_set_process_name("exec2-blocking")
        let signal = ThreadSignal()
        while true {
            if doNext() { continue }
            guard sleep(signal) else { return }
        }
    }

    /// Does the work whose turn it is, and lets go of it; false where there is none.
    private func doNext() -> Bool {
        guard let (waiting, lane) = state.withLock({ takeNext(&$0) }) else { return false }
        switch waiting.work {
        case .job(let job): job.runSynchronously(on: asUnownedTaskExecutor())
        case .body(let body): body()
        }
        if case .names = lane { state.withLock { $0.busyNames -= 1 } }
        return true
    }

    private func takeNext(_ state: inout State) -> (Waiting, Lane)? {
        let general = state.general.first?.number ?? .max
        if state.busyNames < limits.names, let name = state.names.first?.number, name < general {
            state.busyNames += 1
            return state.names.removeFirst().map { ($0, .names) }
        }
        return state.general.removeFirst().map { ($0, .general) }
    }

    /// Waits for work; false where the thread is to end.
    private func sleep(_ signal: ThreadSignal) -> Bool {
        let hasWork = state.withLock { state in
            let canTake = !state.general.isEmpty || (!state.names.isEmpty && state.busyNames < limits.names)
            if !canTake { state.sleepers.append(signal) }
            return canTake
        }
        if hasWork || signal.wait(atMost: limits.idleNanoseconds) { return true }
        let ends = state.withLock { state in
            // Not there: it has been woken at this very moment.
            guard let index = state.sleepers.firstIndex(where: { $0 === signal }) else { return false }
            state.sleepers.remove(at: index)
            state.threads -= 1
            return true
        }
        if ends { return false }
        // The signal is raised, or will be at once.
        return signal.wait(atMost: .max)
    }
}
