import CLinux
import EventLoop
import Glibc
import Shared
import Supervision

/// The end of a run on request: the first asks the command to end, the second kills it, and one that
/// comes when the command is gone gives up what its output's reader has not taken yet. So does the end of the kill
/// timeout, since a reader that hangs would keep the run for ever.
final class RunStop: Sendable {
    private struct State {
        var task: SupervisedTask?
        /// The signal of the first request; SIGKILL once there is another.
        var wanted: Int32?
        /// When the kill timeout is over, on the monotonic clock.
        var deadline: UInt64?
        var outputs: [OutputCopy] = []
        var writeError: Errno?
        /// What was to be passed on before the command was there.
        var early: [(signal: Int32, then: @Sendable () -> Void)] = []
        /// The last signal that is on its way to the command: the next one follows it.
        var lastPassed: Task<Void, Never>?
    }

    private let state = Mutex(State())
    private let timeoutSeconds: Int64
    private let reactor: Reactor
    /// How long a reader may take for what is left when the command ends at the end of the kill timeout.
    private static let leastReading: UInt64 = 1_000_000_000

    init(timeoutSeconds: Int64, reactor: Reactor) {
        self.timeoutSeconds = timeoutSeconds
        self.reactor = reactor
    }

    private var timeoutNanoseconds: UInt64 { UInt64(timeoutSeconds) * 1_000_000_000 }

    /// Why the command's output could not be written, where that ended the run.
    var writeError: Errno? { state.withLock { $0.writeError } }

    /// Whether the command was asked to end.
    var isRequested: Bool { state.withLock { $0.wanted != nil } }

    /// The run is over. Copies of output refer to this object, and would live as long as it does.
    func finish() {
        state.withLock { state in
            state.task = nil
            state.outputs = []
            state.early = []
            state.lastPassed = nil
        }
    }

    /// The command runs: a request that came before is carried out now.
    func started(_ task: SupervisedTask) {
        let (wanted, early) = state.withLock { state in
            state.task = task
            defer { state.early = [] }
            return (state.wanted, state.early)
        }
        for (signal, then) in early { pass(signal, then: then) }
        if let wanted { stop(task, wanted) }
    }

    /// Passes a signal on to the command's process group, after those that came before it.
    /// - Parameter then: Called when the command has the signal, or cannot have it any more.
    func pass(_ signal: Int32, then: @escaping @Sendable () -> Void = {}) {
        state.withLock { state in
            guard let task = state.task else {
                state.early.append((signal, then))
                return
            }
            state.lastPassed = Task.detached(executorPreference: BlockingPool.shared) { [before = state.lastPassed] in
                await before?.value
                do throws(TaskError) {
                    try await task.signal(signal)
                } catch .notRunning {
                    // It has ended meanwhile, as a process to which kill(2) comes too late.
                } catch {
                    Console.complain(error.text)
                }
                then()
            }
        }
    }

    /// The command is gone, and what is left to do is to copy the rest of its output.
    func ended(_ outputs: [OutputCopy]) {
        let deadline = state.withLock { state in
            state.outputs = outputs
            return state.deadline
        }
        guard let deadline else { return }
        let now = exec2_monotonic()
        let left = max(Self.leastReading, deadline > now ? deadline - now : 0)
        _ = reactor.after(left) { for output in outputs { output.giveUp() } }
    }

    /// A request to stop with a signal.
    func request(_ signal: Int32) {
        let (task, isFirst, outputs) = state.withLock { state in
            let isFirst = state.wanted == nil
            state.wanted = isFirst ? signal : SIGKILL
            state.deadline = exec2_monotonic() + (isFirst ? timeoutNanoseconds : 0)
            return (state.task, isFirst, state.outputs)
        }
        for output in outputs { output.giveUp() }
        guard let task, task.end == nil else { return }
        if isFirst && isatty(STDERR_FILENO) == 1 {
            // A terminal that was halted takes nothing, and this is the reactor's thread. On one that is raw a line
            // needs its carriage return.
            BlockingPool.shared.perform { [timeoutSeconds] in
                Console.complain(
                    "the command is asked to end; it is killed in \(timeoutSeconds) s, or by another such signal\r")
            }
        }
        stop(task, isFirst ? signal : SIGKILL)
    }

    /// The command's output cannot be written any more: the command ends as it would without the driver, by SIGPIPE
    /// if the reader has left.
    func outputFailed(_ error: Errno) {
        if error != .brokenPipe { state.withLock { $0.writeError = error } }
        let isStopping = state.withLock { $0.wanted != nil }
        if !isStopping { request(error == .brokenPipe ? SIGPIPE : SIGTERM) }
    }

    private func stop(_ task: SupervisedTask, _ signal: Int32) {
        let timeout = signal == SIGKILL ? 0 : timeoutNanoseconds
        Task.detached(executorPreference: BlockingPool.shared) { [before = state.withLock { $0.lastPassed }] in
            await before?.value
            do throws(TaskError) {
                try await task.stop(signal: signal, timeoutNanoseconds: timeout)
            } catch {
                Console.complain(error.text)
            }
        }
    }
}
