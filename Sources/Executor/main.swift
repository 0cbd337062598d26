import CLinux
import SharedEmbedded

// One Executor supervises one task for the task's whole life; the Driver may come and go meanwhile.
// It is PID 1 of the task's PID namespace: should it die, the kernel kills every process of the task.

func runExecutor() -> Int32 {
    // Shows in ps, whose column holds 15 characters, what this process waits for: a task, as init of a PID namespace, or a
    // command.
    _ = exec2_set_process_name(getpid() == 1 ? "exec2-standby" : "exec2-waiting")
    // An Executor is init of a PID namespace, and no signal is blocked: the kernel drops what has its default disposition, but
    // SIGKILL and SIGSTOP from outside (pid_namespaces(7)). A blocked one would be queued for ever, on root's account
    // (getrlimit(2), RLIMIT_SIGPENDING), and a task of root's can send any number of them.
    var preparation = Preparation()
    guard let request = LaunchRequest.receive() else {
        say("this program is started by nomad-driver-exec2, one for each task; see nomad-driver-exec2 --help\n")
        return ExecutorExit.noRequest
    }
    if request.message.pointee.root_template != nil {
        return TemplateMaker.run(request)
    }
    if request.message.pointee.exec != nil {
        // No init, and out of its task's reach.
        _ = exec2_block_signals()
        LaunchRequest.closePipe()
        return Attendant.run(request)
    }
    _ = exec2_set_process_name("exec2-executor")
    preparation.complete()
    if request.message.pointee.root != nil {
        // Nothing that is opened from here on takes the numbers of what is kept for commands.
        _ = exec2_replace_descriptor(STDIN_FILENO, TemplateDescriptor.ruleset)
        let hasTerminals =
            preparation.rules?.root != nil
            || request.message.pointee.attachment.map { $0.pointee.own_terminals != 0 } ?? false
        if !hasTerminals { _ = exec2_replace_descriptor(STDIN_FILENO, TemplateDescriptor.terminals) }
    }
    guard let channel = EventChannel.open(for: request) else { return ExecutorExit.launchFailed }
    do throws(LaunchFailure) {
        try request.checkVersion()
        try hardenAgainstTask(request.message.pointee)
        let supervision = try Supervision.launch(request, preparation, channel: channel)
        preparation.release()
        request.release()
        return supervision.run() ? ExecutorExit.finished : ExecutorExit.notRecorded
    } catch {
        channel.send(.launchFailed(stage: error.stage.rawValue, errno: error.errno, subject: error.subject))
        return ExecutorExit.launchFailed
    }
}

/// Writes to stderr, for a person who started the Executor by hand.
func say(_ text: StaticString) {
    _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
}

exit(runExecutor())
