import CLinux
import EventLoop
import Exec
import Glibc
import Shared
import Supervision
import Tracing

/// The trace of a run's command, from before its execve to its end.
final class RunTrace: Sendable {
    private let tracer: Tracer
    private let analysis: TraceAnalysis
    private let failure = Mutex<SystemError?>(nil)

    /// - Parameter earlier: The trace of the try before this one.
    init(after earlier: RunTrace?) throws(SystemError) {
        let executor = self.executor
        analysis = TraceAnalysis(
            filter: {
                let pid = executor.pid.withLock { $0 }
                let number = exec2_pidfd_open(pid)
                guard number >= 0 else { return [] }
                let pidfd = OwnedDescriptor(owning: number)
                let launched = try? LaunchedTask(RunDirectories.taskName, executor: pid, executorPidfd: pidfd.number)
                return launched?.seccompFilter ?? []
            },
            // A terminal is raw as long as the command has it.
            output: { Self.output.write("trace: " + $0 + (isatty(2) == 1 ? "\r\n" : "\n")) }, after: earlier?.analysis)
        tracer = try Tracer(analysis: analysis)
    }

    /// The last that was spawned.
    private final class Executor: Sendable {
        let pid = Mutex<Int32>(0)
    }

    private let executor = Executor()

    /// Stderr, where the command's own goes.
    static let output = RememberingStream(STDERR_FILENO)

    /// To be called when an Executor waits for its request.
    var spawned: @Sendable (Int32) -> Void { { self.take(executor: $0) } }

    private func take(executor pid: Int32) {
        executor.pid.withLock { $0 = pid }
        if let error = tracer.follow(launcher: pid) { failure.withLock { $0 = error } }
    }

    /// The command has ended: tells what was found.
    /// - Returns: False where nothing could be traced.
    func finish() async -> Bool {
        tracer.end()
        let figures = await tracer.wait()
        if let error = failure.withLock({ $0 }) {
            Console.complain(TraceReport.remedy(error))
            return false
        }
        TraceReport.finish(analysis, figures, say: say)
        return true
    }

    /// Tells one line.
    func say(_ line: String) { Self.output.write("trace: \(line)\n") }

    /// What would have helped this try and those before.
    func offer(own: [String], isPublic: (String) -> Bool) -> Suggestion.Offer {
        analysis.offer(own: own, isPublic: isPublic)
    }

    /// Prints the rules with which nothing would have been denied to this try and those before.
    /// - Parameter own: The command's own directories.
    func suggest(own: [String]) { Self.output.write(analysis.suggestion(own: own, forRun: true)) }
}
