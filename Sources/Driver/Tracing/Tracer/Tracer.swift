import CLinux
import EventLoop
import Glibc
import Shared

/// Traces the processes of one task on a thread of its own, from outside of the sandbox.
///
/// The end of that thread is what lets go of them: the kernel then lets each run on as it is, so that none has to be stopped
/// for it, and none sees a system call interrupted.
package final class Tracer: Sendable {
    /// What was done.
    package struct Figures: Sendable {
        package var calls: UInt64 = 0
        package var threads = 0
        /// Nanoseconds: how long threads were held at stops, all together, and how long it took.
        package var held: UInt64 = 0
        package var elapsed: UInt64 = 0
        /// Failed calls that were not looked at since there were too many.
        package var leftOut = 0
        /// Processes that another tracer has.
        package var foreign = 0
        /// Why none of the task's processes could be traced.
        package var failure: SystemError?
    }

    struct Orders {
        var launchers: [(pid: Int32, done: @Sendable (SystemError?) -> Void)] = []
        var ends = false
        /// When the thread last asked for orders.
        var asked = exec2_monotonic()
    }

    private let orders = Mutex(Orders())
    private let finished = OneShot<Figures>()

    /// - Parameters:
    ///   - members: The processes of a task that runs, asked for again and again; none for one that is to be launched.
    ///   - isOver: Whether the task has ended, likewise.
    package init(
        analysis: TraceAnalysis, members: @escaping @Sendable () -> [Int32] = { [] },
        isOver: @escaping @Sendable () -> Bool = { false }
    ) throws(SystemError) {
        try DetachedThread.start("the tracer's thread", stackSize: 512 << 10) { [self] in
            var loop = TraceLoop(analysis: analysis, members: members, isOver: isOver)
            let figures = loop.run {
                self.orders.withLock { orders in
                    orders.asked = exec2_monotonic()
                    defer { orders.launchers = [] }
                    return orders
                }
            }
            finished.set(figures)
        }
    }

    /// Begins to trace an Executor that waits for its request, until it has cloned its task's main process, which is
    /// traced from then on. Returns when it is traced, or the reason why it is not.
    package func follow(launcher pid: Int32) -> SystemError? {
        let result = OneShot<SystemError?>()
        let isDone = ThreadSignal()
        let done: @Sendable (SystemError?) -> Void = {
            result.set($0)
            isDone.raise()
        }
        orders.withLock { $0.launchers.append((pid, done)) }
        wake()
        _ = isDone.wait(atMost: .max)
        return result.current ?? nil
    }

    /// Lets go of every process.
    package func end() {
        orders.withLock { $0.ends = true }
        wake()
    }

    /// Whether the thread waits for a process's memory that does not answer: of a mapped file whose file system has lost its
    /// server, or of userfaultfd(2). Nothing but the end of this process ends that, and lets go of the task.
    package var isStuck: Bool {
        finished.current == nil && exec2_monotonic() > orders.withLock { $0.asked } + Self.patience
    }

    /// Nanoseconds.
    private static let patience: UInt64 = 10_000_000_000

    /// Waits until every process was let go of.
    package func wait() async -> Figures { await finished.wait() ?? Figures() }

    /// The thread waits for this signal (exec2_trace_wait).
    private func wake() { kill(getpid(), SIGCHLD) }
}
