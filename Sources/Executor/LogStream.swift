import CLinux
import SharedEmbedded

/// One of the task's log streams: a FIFO that Nomad's log collector reads, or /dev/null.
struct LogStream {
    /// Held for the task's life, for reading and writing: when the collector restarts, the task gets
    /// no SIGPIPE, and what it wrote waits in the pipe.
    let held: Int32
    /// What the task gets, for writing only.
    let forTask: Int32
    /// The detached mount that `forTask` was opened on. Closing it takes a grace period of RCU (Supervision.unneeded).
    let mount: Int32

    /// Opens a log by path, as root. Below `root`, the alloc's directory, tasks can write, so that no
    /// symlink is followed there (CVE-2026-8052, CVE-2026-6959); elsewhere none is followed at all.
    static func open(
        _ path: UnsafeMutablePointer<CChar>?, below root: UnsafeMutablePointer<CChar>?,
        stage: LaunchStage, wrongType: LaunchStage
    ) throws(LaunchFailure) -> LogStream {
        guard let path, !path.isEmpty else { throw LaunchFailure(stage, .noSuchFile, "(no path was given)") }
        // Who else may write to the alloc's directory could have put a device there, or a FIFO of its own: what merely
        // opening it would do to either is not done.
        let found = find(path, below: root)
        guard found >= 0 else { throw LaunchFailure(stage, path) }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(stage, path) }
        guard facts.type == EXEC2_FILE_FIFO || isNull(facts) else {
            throw LaunchFailure(wrongType, .invalidArgument, String(cString: path))
        }
        // Opened through the descriptor, so that it is the same file whatever the path says now.
        let held = open(found, O_RDWR | O_NONBLOCK)
        guard held >= 0 else { throw LaunchFailure(stage, path) }
        // The task must not be able to change mode or times of the host's file through its descriptor.
        var mount: Int32 = -1
        let forTask = exec2_reopen_read_only(found, O_WRONLY, &mount)
        guard forTask >= 0 else { throw LaunchFailure(stage, path) }
        return LogStream(held: held, forTask: forTask, mount: mount)
    }

    /// Makes the FIFO the task's user's, so that its programs can open it by path (/dev/stdout). It was opened without any
    /// symlink (CVE-2026-6959), and no task can change the directory that it is in.
    ///
    /// For writing alone: another task of the allocation with the same user finds it in the log directory, and must not
    /// take what was written to it.
    func give(
        to user: uid_t, _ group: gid_t, path: UnsafeMutablePointer<CChar>?, stage: LaunchStage
    ) throws(LaunchFailure) {
        var facts = exec2_file_facts()
        guard exec2_fstat(held, &facts) == 0 else { throw LaunchFailure(stage, path) }
        guard facts.type == EXEC2_FILE_FIFO, user != 0 else { return }
        if fchmod(held, 0o200) == 0, facts.owner == user || fchown(held, user, group) == 0 { return }
        // An agent without CAP_CHOWN: the task has the descriptor all the same.
        guard Errno.last == .notPermitted else { throw LaunchFailure(stage, path) }
    }

    private static func find(
        _ path: UnsafeMutablePointer<CChar>, below root: UnsafeMutablePointer<CChar>?
    ) -> Int32 {
        let flags = EXEC2_O_PATH | O_CLOEXEC
        guard let root, !root.isEmpty else { return exec2_open_no_symlinks(AT_FDCWD, path, flags, 0) }
        let length = strlen(root)
        guard strncmp(path, root, length) == 0, path[length] == CChar(bitPattern: UInt8(ascii: "/")) else {
            return exec2_open_no_symlinks(AT_FDCWD, path, flags, 0)
        }
        let directory = exec2_open(root, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard directory >= 0 else { return directory }
        defer { _ = close(directory) }
        return exec2_open_no_symlinks(directory, path + length + 1, flags, 1)
    }

    private static func open(_ found: Int32, _ flags: Int32) -> Int32 {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 48) { link -> Int32 in
            guard let text = link.baseAddress else { return -1 }
            writeDescriptorPath(found, directory: "/proc/self/fd/", into: text)
            return exec2_open(text, flags | O_NOCTTY | O_CLOEXEC, 0)
        }
    }

    /// /dev/null is character device 1:3 (devices.txt of the kernel).
    private static func isNull(_ facts: exec2_file_facts) -> Bool {
        facts.type == EXEC2_FILE_CHARACTER && facts.special_device == 0x103
    }
}

/// Writes "<directory><number>" and a NUL into `text`, which has room for 48 characters.
func writeDescriptorPath(_ number: Int32, directory: StaticString, into text: UnsafeMutablePointer<CChar>) {
    let length = directory.utf8CodeUnitCount
    memcpy(text, directory.utf8Start, length)
    var digits = 1
    var rest = number
    while rest >= 10 {
        rest /= 10
        digits += 1
    }
    rest = number
    for position in stride(from: length + digits - 1, through: length, by: -1) {
        text[position] = CChar(48 + rest % 10)
        rest /= 10
    }
    text[length + digits] = 0
}
