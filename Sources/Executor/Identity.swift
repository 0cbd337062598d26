import CLinux
import CMessages
import SharedEmbedded

/// Writes the state directory's identity file: by it a Driver that has no handle of the task finds this
/// Executor, and knows it from another process that has its pid later.
func writeIdentity(
    _ request: LaunchRequest.Message, of process: Preparation, in directory: Int32
) throws(LaunchFailure) {
    var message = Exec2__Executor__HandleState()
    exec2__executor__handle_state__init(&message)
    message.version = 1
    message.boot_id = request.boot_id
    message.executor_pid = process.pid
    message.executor_start_time = process.startTime
    // An identity that is half would make a later Driver take this Executor for dead.
    guard message.executor_pid > 0, message.executor_start_time > 0 else {
        throw LaunchFailure(.identity, request.task_state_dir)
    }
    message.state_dir = request.state_dir
    message.cgroup = request.cgroup
    message.task_id = request.task_id
    message.task_name = request.task_name
    let written = withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer -> Bool in
        guard let start = buffer.baseAddress else { return false }
        let size = exec2__executor__handle_state__get_packed_size(&message)
        guard size <= Frame.maximumPayload else { return false }
        let payload = (start + Frame.headerSize).assumingMemoryBound(to: UInt8.self)
        _ = exec2__executor__handle_state__pack(&message, payload)
        let frame = Frame.seal(buffer, payload: size)
        let file = exec2_openat(directory, "executor", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { return false }
        defer { _ = close(file) }
        return retrying { write(file, frame.baseAddress, frame.count) } == frame.count
    }
    guard written else { throw LaunchFailure(.identity, request.task_state_dir) }
}

/// What an Executor does before it has a task, since none of it depends on one: a task does not wait for it.
struct Preparation {
    /// This process as the host numbers it; 0 where /proc did not tell.
    private(set) var pid: Int32
    /// In the kernel's ticks since the boot (proc_pid_stat(5)); 0 where /proc did not tell.
    private(set) var startTime: UInt64
    /// Whether this process has an IPC namespace that is not the host's, so that its task need not be given one.
    let ownsIPC: Bool
    /// What has been done for the task's ruleset; nil: nothing.
    private(set) var rules: RulesAhead?

    init() {
        guard getpid() == 1 else {
            // An attendant, or the maker of a template.
            (pid, startTime, ownsIPC, rules) = (0, 0, false, nil)
            return
        }
        // To look oneself up in /proc for the first time takes as long as fifty other system calls.
        pid = ownPid()
        startTime = ownStartTime()
        ownsIPC = exec2_unshare_ipc() == 0
        // Not open, unless the Driver has left it.
        rules = RulesAhead.make()
    }

    /// Asks again for what was refused: one that stands by was spawned long before its task, in a shortage of
    /// descriptors perhaps that is over by now.
    mutating func complete() {
        if pid <= 0 { pid = ownPid() }
        if startTime == 0 { startTime = ownStartTime() }
    }

    /// Gives the memory back that only a launch needs.
    mutating func release() {
        rules?.release()
        rules = nil
    }
}

/// This process as the host numbers it: /proc is the host's here, whatever PID namespace this is in.
private func ownPid() -> Int32 {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { text -> Int32 in
        guard let start = text.baseAddress else { return 0 }
        let length = readlink("/proc/self", start, text.count - 1)
        guard length > 0 else { return 0 }
        text[length] = 0
        return Int32(truncatingIfNeeded: strtol(start, nil, 10))
    }
}

private func ownStartTime() -> UInt64 {
    let file = exec2_open("/proc/self/stat", O_RDONLY | O_CLOEXEC, 0)
    guard file >= 0 else { return 0 }
    defer { _ = close(file) }
    return withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer -> UInt64 in
        let count = retrying { read(file, buffer.baseAddress, buffer.count) }
        guard count > 0 else { return 0 }
        return processStartTime(inStat: UnsafeRawBufferPointer(rebasing: buffer[..<count])) ?? 0
    }
}

/// The host's number of a process: what the host's /proc shows for its pidfd; 0 where it does not. It is asked a second
/// time then: the number is for the task's whole life.
/// - Parameter proc: The open /proc of the host; -1 where it is the one at /proc.
func hostPid(ofPidfd pidfd: Int32, proc: Int32) -> Int32 {
    let pid = pidShown(for: pidfd, proc)
    return pid > 0 ? pid : pidShown(for: pidfd, proc)
}

private func pidShown(for pidfd: Int32, _ proc: Int32) -> Int32 {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer -> Int32 in
        guard let text = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return 0 }
        writeDescriptorPath(pidfd, directory: proc >= 0 ? "self/fdinfo/" : "/proc/self/fdinfo/", into: text)
        let file = exec2_openat(proc >= 0 ? proc : AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0)
        guard file >= 0 else { return 0 }
        defer { _ = close(file) }
        let count = retrying { read(file, text, buffer.count - 1) }
        guard count > 0 else { return 0 }
        text[count] = 0
        guard let line = strstr(text, "\nPid:") else { return 0 }
        return Int32(truncatingIfNeeded: strtol(line + 5, nil, 10))
    }
}
