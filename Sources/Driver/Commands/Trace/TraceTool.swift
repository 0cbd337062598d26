import CLinux
import EventLoop
import Exec
import Glibc
import Host
import Shared
import Supervision
import Tracing

/// `trace`: what a running task is denied, seen from outside. The task is found by its state directory; its Driver is not
/// asked, and its Executor is not touched.
struct TraceTool: Sendable {
    let options: TraceOptions
    let signals: StopSignals

    /// To be called on the first thread, before others exist.
    init(_ options: TraceOptions) throws(SystemError) {
        self.options = options
        signals = try StopSignals()
        // Ctrl-Z would stop the task's threads as well, at their next system calls, and so would output from the background.
        for number in [SIGTSTP, SIGTTIN, SIGTTOU] { signal(number, SIG_IGN) }
        guard exec2_block_child_signal() == 0 else { throw SystemError("block", "SIGCHLD") }
    }

    /// Traces until it is told to stop, or the task has ended; returns the exit status.
    func execute() async -> Int32 {
        guard geteuid() == 0 else { return fail("trace must run as root, which owns the state directories: use sudo") }
        do throws(TaskSearch.Failure) {
            let task = try TaskSearch.find(options.task, in: options.stateDirectory)
            guard let executor = try? task.state.heldExecutor() else {
                return fail("task \(quoted(task.title)) has just ended")
            }
            let pidfd = executor.asExecutor().takePidfd()
            do throws(SystemError) {
                return try await trace(task, pidfd)
            } catch {
                return fail(error.text)
            }
        } catch {
            return fail(error.text)
        }
    }

    private func fail(_ sentence: String) -> Int32 {
        Console.complain(sentence)
        return CommandLineTool.ExitStatus.failure
    }

    private func trace(_ task: TaskSearch.Candidate, _ pidfd: consuming OwnedDescriptor) async throws(SystemError)
        -> Int32
    {
        let executor = task.state.executorPid
        let number = pidfd.number
        var launched: LaunchedTask?
        do throws(ExecError) {
            launched = try LaunchedTask(task.title, executor: executor, executorPidfd: number)
        } catch {
            Console.complain("system calls that are closed cannot be told: \(error.text)")
        }
        let filter = launched?.seccompFilter ?? []
        let analysis = TraceAnalysis(filter: { filter }, output: { Console.write($0 + "\n") })
        let processes = TaskProcesses(cgroup: task.state.cgroup, executor: executor)
        let isOver: @Sendable () -> Bool = {
            if Console.output.hasFailed { return true }
            var wait = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
            return poll(&wait, 1, 0) != 0
        }
        let tracer = try Tracer(analysis: analysis, members: { processes.current }, isOver: isOver)
        let reactor = try Reactor()
        let isEnding = Mutex(false)
        try signals.watch(on: reactor) { number in
            let isSecond = isEnding.withLock { isEnding in
                defer { isEnding = true }
                return isEnding
            }
            // What reads stdout may have stopped to do so. The task is let go of by the end of this process at the latest.
            if isSecond { _exit(128 + number) }
            tracer.end()
        }
        let own = options.suggests ? launched?.directories ?? [] : nil
        Self.watch(tracer, reactor) {
            Console.complain(
                "tracing ends: a process has given a system call memory that does not answer, of a file whose file system "
                    + "has lost its server or of userfaultfd, and the task was held for that; it runs on now")
            if let own { Console.write(analysis.suggestion(own: own, forRun: false)) }
            _exit(CommandLineTool.ExitStatus.failure)
        }
        if let seconds = options.seconds { _ = reactor.after(UInt64(seconds) * 1_000_000_000) { tracer.end() } }
        Console.complain(
            "tracing task \(quoted(task.title))"
                + (options.seconds.map { " for \($0) s" } ?? " until Ctrl-C or its end") + "; it runs on meanwhile")
        let figures = await tracer.wait()
        _ = consume pidfd
        if let error = figures.failure, figures.threads == 0 { return fail(TraceReport.remedy(error)) }
        TraceReport.finish(analysis, figures) { Console.write($0 + "\n") }
        if let own { Console.write(analysis.suggestion(own: own, forRun: false)) }
        return 0
    }

    /// Looks every second whether the tracer is stuck.
    /// - Parameter wasStuck: It was, a second ago: this whole process may have been stopped.
    private static func watch(
        _ tracer: Tracer, _ reactor: Reactor, wasStuck: Bool = false, _ giveUp: @escaping @Sendable () -> Void
    ) {
        _ = reactor.after(1_000_000_000) {
            let isStuck = tracer.isStuck
            if isStuck && wasStuck { giveUp() }
            watch(tracer, reactor, wasStuck: isStuck, giveUp)
        }
    }
}

/// The processes of a task as they are now.
private struct TaskProcesses: Sendable {
    let cgroup: String
    let executor: Int32

    /// Those of its cgroup; where the host has none, those of its PID namespace.
    var current: [Int32] {
        var found: [Int32] = []
        if !cgroup.isEmpty, let list = try? HostFile.read(cgroup + "/cgroup.procs") {
            list.withUnsafeBytes { list in
                var index = 0
                while let pid = decimalNumber(in: list, at: &index) {
                    found.append(Int32(clamping: pid))
                    index += 1
                }
            }
            return found
        }
        let namespace = Self.namespace(executor)
        for name in DirectoryListing.names(in: "/proc") ?? [] {
            guard let pid = Int32(name), pid != executor, namespace != 0 else { continue }
            if Self.namespace(pid) == namespace { found.append(pid) }
        }
        return found
    }

    private static func namespace(_ pid: Int32) -> UInt64 {
        var facts = stat()
        return stat("/proc/\(pid)/ns/pid", &facts) == 0 ? UInt64(facts.st_ino) : 0
    }
}
