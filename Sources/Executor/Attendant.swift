import CLinux
import CMessages
import SharedEmbedded

/// Attends one command in a running task, in a process of its own beside the task's Executor: puts it
/// where the task is, waits for its end, and kills it when the Driver lets go of the leash.
///
/// The command is the attendant's child and in the task's PID namespace. It dies with the task, whose
/// Executor kills everything in there; and that Executor cannot leave before the attendant has reaped
/// the command (pid_namespaces(7)), so that the attendant does nothing that could keep it waiting.
struct Attendant {
    private let command: MainProcess
    private let childSignals: Int32

    /// Runs the command of a request to its end and reports that.
    static func run(_ request: LaunchRequest) -> Int32 {
        // 15 characters are all that ps shows.
        _ = exec2_set_process_name("exec2-attendant")
        do throws(LaunchFailure) {
            // Of the task's own Executor, which may be of a later release than this program.
            try request.checkVersion()
            let attendant = try launch(request.message.pointee)
            request.release()
            report(attendant.wait())
            return ExecutorExit.finished
        } catch {
            report(.failed(stage: error.stage.rawValue, errno: error.errno, subject: error.subject))
            return ExecutorExit.launchFailed
        }
    }

    private static func launch(_ message: LaunchRequest.Message) throws(LaunchFailure) -> Attendant {
        let childSignals = exec2_signalfd(SIGCHLD)
        let own = exec2_pidfd_open(getpid())
        guard childSignals >= 0, own >= 0 else { throw LaunchFailure(.supervision, message.task_id) }
        // The command is in reach of the task, and has this process's memory until execve.
        try hardenAgainstTask(message)
        let task = AttendantDescriptor.task
        // For children only; the other namespaces are entered by the command itself.
        guard exec2_setns(task, EXEC2_CLONE_NEWPID) == 0 else { throw LaunchFailure(.enterProcesses, message.task_id) }
        let cgroup = try CgroupDirectory.open(message.cgroup)
        let ruleset: Ruleset
        if message.root != nil {
            ruleset = try Ruleset.ofTask(message)
        } else {
            ruleset = try Ruleset.create(message)
            try ruleset.addSources(of: message)
        }
        var plan = LaunchPlan(
            message, ruleset: ruleset,
            session: .init(task: task, attendant: own, hasTerminal: message.exec.pointee.terminal != 0))
        let command = try plan.run(cgroup: cgroup?.directory ?? -1)
        if let error = command.execError {
            explain(error, command.program, command: message.arguments?[0], to: AttendantDescriptor.stderr)
        }
        // The Driver reads to the end of the streams: only the command may hold them.
        for number in AttendantDescriptor.stdin...AttendantDescriptor.task { _ = close(number) }
        return Attendant(command: command, childSignals: childSignals)
    }

    /// Waits for the command's end; kills it when the leash is let go.
    private func wait() -> ExecReport {
        var leash = AttendantDescriptor.leash
        while true {
            var waits = (
                pollfd(fd: childSignals, events: Int16(POLLIN), revents: 0),
                // A negative descriptor is passed over (poll(2)).
                pollfd(fd: leash, events: Int16(POLLIN), revents: 0)
            )
            _ = withUnsafeMutableBytes(of: &waits) { bytes in
                poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, -1)
            }
            if waits.1.revents != 0 {
                leash = -1
                // It leads a process group, and is not reaped yet, so that the group is its own.
                _ = kill(-command.pid, SIGKILL)
            }
            if waits.0.revents != 0 {
                withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { drop in
                    while read(childSignals, drop.baseAddress, drop.count) > 0 {}
                }
                var status: Int32 = 0
                if retrying({ waitpid(command.pid, &status, WNOHANG) }) == command.pid {
                    var exitCode: Int32 = 0
                    var signal: Int32 = 0
                    exec2_wait_status(status, &exitCode, &signal)
                    return .ended(exitCode: exitCode, signal: signal, passedOver: command.passedOver)
                }
            }
        }
    }

    private static func report(_ report: ExecReport) {
        withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer in
            let frame = report.encode(into: buffer)
            _ = retrying { write(AttendantDescriptor.report, frame.baseAddress, frame.count) }
        }
    }
}
