import CLinux
import EventLoop
import Glibc
import Shared

/// Traces the processes of one task on a thread of its own, from outside of the sandbox.
///
/// To detach from all of them, that thread ends: the kernel then detaches without stopping any of them, and without
/// interrupting a system call.
package final class Tracer: Sendable {
    /// The figures of one trace.
    package struct Figures: Sendable {
        package var calls: UInt64 = 0
        package var threads = 0
        /// In nanoseconds: the total time that threads were held at stops, and the duration of the trace.
        package var held: UInt64 = 0
        package var elapsed: UInt64 = 0
        /// The number of failed calls that were not analysed since there were too many.
        package var leftOut = 0
        /// The number of processes that could not be traced, mostly since another process traces them.
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
    ///   - members: Returns the processes of a task that is running already. It is called repeatedly.
    ///   - isOver: Returns whether the task has ended. It is called repeatedly.
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

    /// Begins to trace an Executor that waits for its request. When it has cloned its task's main process, that process
    /// is traced instead. Returns nil when the Executor is traced, or the error.
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

    /// Detaches from every process, by ending the thread.
    package func end() {
        orders.withLock { $0.ends = true }
        wake()
    }

    /// Whether the thread hangs in reading a process's memory: that of a mapped file whose file system has lost its
    /// server, or that of userfaultfd(2). Only the end of this process can end that and detach from the task.
    package var isStuck: Bool {
        finished.current == nil && exec2_monotonic() > orders.withLock { $0.asked } + Self.patience
    }

    /// Nanoseconds.
    private static let patience: UInt64 = 10_000_000_000

    /// Waits for the figures. The thread ends just after it has given them, and only then does the kernel detach from every
    /// process.
    package func wait() async -> Figures { await finished.wait() ?? Figures() }

    /// The thread waits for this signal (exec2_trace_wait).
    private func wake() { kill(getpid(), SIGCHLD) }
}
