import CLinux
import CMessages
import SharedEmbedded

/// From a request to a task that is supervised.
extension Supervision {
    /// Launches the task of a request and reports it started.
    static func launch(
        _ request: LaunchRequest, _ preparation: Preparation, channel: EventChannel
    ) throws(LaunchFailure) -> Supervision {
        let message = request.message.pointee
        try writeIdentity(message, of: preparation, in: channel.directory)
        try request.checkLauncher()
        let record = try RecordFile.reserve(in: channel.directory, path: message.task_state_dir)
        let childSignals = exec2_signalfd(SIGCHLD)
        let timer = exec2_timerfd()
        guard childSignals >= 0, timer >= 0 else { throw LaunchFailure(.supervision, message.task_state_dir) }

        let stdout = try LogStream.open(
            message.stdout_path, below: message.log_root, stage: .stdoutLog, wrongType: .stdoutIsNoPipe)
        let stderr = try LogStream.open(
            message.stderr_path, below: message.log_root, stage: .stderrLog, wrongType: .stderrIsNoPipe)
        let cgroup = try CgroupDirectory.open(message.cgroup)
        try cgroup?.write(message.cgroup_writes, count: message.n_cgroup_writes)
        cgroup?.thaw()
        let ahead = preparation.rules?.ruleset(for: message)
        let ruleset: Ruleset
        if let ahead {
            ruleset = ahead
        } else {
            ruleset = try Ruleset.create(message)
        }
        let root = try TaskRoot.prepare(message)
        var mounts = try TaskMounts.open(message, ruleset: ruleset)
        let network = try openNetwork(message.network_namespace)
        let oomKills = cgroup?.oomKills()

        var rootAhead = preparation.rules?.root
        if let made = rootAhead, root?.isCompleted(from: made) != true {
            made.discard()
            rootAhead = nil
        }
        if let root {
            try stdout.give(to: message.user_id, message.group_id, path: message.stdout_path, stage: .stdoutLog)
            try stderr.give(to: message.user_id, message.group_id, path: message.stderr_path, stage: .stderrLog)
            try root.enter(&mounts, network: network, networkPath: message.network_namespace, ahead: rootAhead)
        }
        var covered: [Bool]?
        if ahead != nil, rootAhead != nil, let root, root.isPlain(mounts) {
            covered = preparation.rules?.covered(
                of: message, streams: [STDIN_FILENO, stdout.forTask, stderr.forTask])
        }
        var plan = LaunchPlan(
            message, covered: covered, ownsIPC: preparation.ownsIPC, ruleset: ruleset, mounts: mounts, network: network,
            stdout: stdout,
            stderr: stderr, hostProc: root?.hostProc ?? -1)
        let main = try plan.run(cgroup: cgroup?.directory ?? -1)
        let task = StartedTask(
            pid: hostPid(ofPidfd: main.pidfd, proc: root?.hostProc ?? -1), startedAt: main.startedAt)
        if let root {
            // Held until this process is gone: to take a namespace apart takes longer than a task's end may.
            _ = try root.leave()
            try ruleset.keep()
        }
        channel.send(.started(task))

        if let error = main.execError {
            let isTerminal = message.attachment.map { $0.pointee.terminal != 0 } ?? false
            let log = isTerminal ? AttachmentDescriptor.stdin : stderr.held
            explain(error, main.program, command: message.arguments?[0], to: log)
        }
        // Only the task may hold it, so that the writer notices when the task has closed it.
        if message.attachment != nil { _ = close(AttachmentDescriptor.stdin) }
        // The logs' other descriptors stay open for the task's life: see LogStream.held.
        let unneeded = [stdout.forTask, stderr.forTask, ruleset.number, network, main.pidfd]
        for number in unneeded where number >= 0 { _ = close(number) }
        mounts.close()
        return Supervision(
            channel: channel, record: record, cgroup: cgroup, main: main, task: task,
            taskDirectory: lastComponent(of: message.task_state_dir), childSignals: childSignals, timer: timer,
            oomKillsBefore: oomKills, unneeded: (stdout.mount, stderr.mount),
            killTimeout: message.attachment.map { $0.pointee.kill_timeout_ns },
            signalsMainProcess: message.signal_main_process != 0)
    }
}

private func openNetwork(_ path: UnsafeMutablePointer<CChar>?) throws(LaunchFailure) -> Int32 {
    guard let path, !path.isEmpty else { return -1 }
    let number = exec2_open(path, O_RDONLY | O_CLOEXEC, 0)
    guard number >= 0 else { throw LaunchFailure(.openNetwork, path) }
    return number
}

private func lastComponent(of path: UnsafePointer<CChar>?) -> String {
    guard let path else { return "" }
    let slash = strrchr(path, Int32(UInt8(ascii: "/")))
    return String(cString: slash.map { UnsafePointer($0 + 1) } ?? path)
}
