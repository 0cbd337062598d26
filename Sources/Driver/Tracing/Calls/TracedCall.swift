import Planning

/// A system call that a sandbox may refuse, and which of its arguments name what it accesses.
///
/// The numbers are those of uapi asm/unistd_64.h and asm-generic/unistd.h.
struct TracedCall: Equatable, Sendable {
    /// What a call does to the object that it names.
    enum Kind: UInt8, Sendable {
        /// The flags of open(2) are in the argument `flags`; those of openat2(2) in memory that it points to; those of
        /// creat(2) are implied.
        case open, openAt2, create
        case execute
        /// Looks up a path without opening it. Follows a final symlink; does not; does unless `flags` has
        /// AT_SYMLINK_NOFOLLOW.
        case look, lookAtLink, lookByFlags
        /// access(2), whose mode is in `flags`.
        case access
        /// Changes size, mode, owner, times or attributes: of a file, of a symlink itself, of an open file.
        case change, changeLink, descriptor
        case make, symlink, remove, rename, link
        case bind, connect, sendTo, sendMessage
        case socket
        /// mmap(2), which maps programs with PROT_EXEC.
        case map
        /// ioctl(2).
        case control
        /// Needs the capability `needed`.
        case privilege
        /// ptrace(2).
        case trace
    }

    let name: StaticString
    private let amd64, arm64: UInt16
    let kind: Kind
    /// Indices of arguments: the descriptor of a directory, a path, and flags. -1: the call has no such argument.
    let directory, path, flags: Int8
    let directory2, path2: Int8
    let needed: Capability?

    private static let none: UInt16 = .max

    fileprivate init(
        _ name: StaticString, _ amd64: UInt16, _ arm64: UInt16, _ kind: Kind, at directory: Int8 = -1,
        _ path: Int8 = -1,
        flags: Int8 = -1, to directory2: Int8 = -1, _ path2: Int8 = -1, needs needed: Capability? = nil
    ) {
        self.name = name
        self.amd64 = amd64
        self.arm64 = arm64
        self.kind = kind
        self.directory = directory
        self.path = path
        self.flags = flags
        self.directory2 = directory2
        self.path2 = path2
        self.needed = needed
    }

    func number(on architecture: SyscallArchitecture) -> Int? {
        let number = architecture == .amd64 ? amd64 : arm64
        return number == Self.none ? nil : Int(number)
    }

    static func == (left: TracedCall, right: TracedCall) -> Bool {
        left.amd64 == right.amd64 && left.arm64 == right.arm64
    }
}

/// The calls by their numbers.
struct CallTable: Sendable {
    private let calls: [TracedCall]
    /// For each number, the index in `calls`; -1 for a call that is not traced.
    private var indices: [Int8]

    init(of architecture: SyscallArchitecture = .native) {
        calls = TracedCall.opening + TracedCall.changing + TracedCall.others
        indices = [Int8](repeating: -1, count: 512)
        for (index, call) in calls.enumerated() {
            if let number = call.number(on: architecture) { indices[number] = Int8(index) }
        }
    }

    subscript(number: UInt64) -> TracedCall? {
        guard number < 512, indices[Int(number)] >= 0 else { return nil }
        return calls[Int(indices[Int(number)])]
    }
}

extension TracedCall {
    fileprivate static let opening: [TracedCall] = [
        .init("open", 2, none, .open, at: -1, 0, flags: 1), .init("openat", 257, 56, .open, at: 0, 1, flags: 2),
        .init("openat2", 437, 437, .openAt2, at: 0, 1, flags: 2), .init("creat", 85, none, .create, at: -1, 0),
        .init("execve", 59, 221, .execute, at: -1, 0), .init("execveat", 322, 281, .execute, at: 0, 1),
        .init("stat", 4, none, .look, at: -1, 0), .init("lstat", 6, none, .lookAtLink, at: -1, 0),
        .init("newfstatat", 262, 79, .lookByFlags, at: 0, 1, flags: 3),
        .init("statx", 332, 291, .lookByFlags, at: 0, 1, flags: 2),
        .init("access", 21, none, .access, at: -1, 0, flags: 1),
        .init("faccessat", 269, 48, .access, at: 0, 1, flags: 2),
        .init("faccessat2", 439, 439, .access, at: 0, 1, flags: 2),
        .init("readlink", 89, none, .lookAtLink, at: -1, 0), .init("readlinkat", 267, 78, .lookAtLink, at: 0, 1),
        .init("chdir", 80, 49, .look, at: -1, 0), .init("statfs", 137, 43, .look, at: -1, 0),
        .init("getxattr", 191, 8, .look, at: -1, 0), .init("lgetxattr", 192, 9, .lookAtLink, at: -1, 0),
        .init("listxattr", 194, 11, .look, at: -1, 0), .init("llistxattr", 195, 12, .lookAtLink, at: -1, 0),
        .init("inotify_add_watch", 254, 27, .look, at: -1, 1),
        .init("name_to_handle_at", 303, 264, .lookAtLink, at: 0, 1),
    ]

    fileprivate static let changing: [TracedCall] = [
        .init("truncate", 76, 45, .change, at: -1, 0), .init("chmod", 90, none, .change, at: -1, 0),
        .init("fchmodat", 268, 53, .change, at: 0, 1), .init("fchmodat2", 452, 452, .change, at: 0, 1),
        .init("chown", 92, none, .change, at: -1, 0), .init("lchown", 94, none, .changeLink, at: -1, 0),
        .init("fchownat", 260, 54, .change, at: 0, 1), .init("utime", 132, none, .change, at: -1, 0),
        .init("utimes", 235, none, .change, at: -1, 0), .init("futimesat", 261, none, .change, at: 0, 1),
        .init("utimensat", 280, 88, .change, at: 0, 1), .init("setxattr", 188, 5, .change, at: -1, 0),
        .init("lsetxattr", 189, 6, .changeLink, at: -1, 0), .init("removexattr", 197, 14, .change, at: -1, 0),
        .init("lremovexattr", 198, 15, .changeLink, at: -1, 0), .init("ftruncate", 77, 46, .descriptor, at: 0),
        .init("fchmod", 91, 52, .descriptor, at: 0), .init("fchown", 93, 55, .descriptor, at: 0),
        .init("fsetxattr", 190, 7, .descriptor, at: 0), .init("fremovexattr", 199, 16, .descriptor, at: 0),
        .init("mkdir", 83, none, .make, at: -1, 0), .init("mkdirat", 258, 34, .make, at: 0, 1),
        .init("mknod", 133, none, .make, at: -1, 0), .init("mknodat", 259, 33, .make, at: 0, 1),
        .init("symlink", 88, none, .symlink, at: -1, 1), .init("symlinkat", 266, 36, .symlink, at: 1, 2),
        .init("unlink", 87, none, .remove, at: -1, 0), .init("unlinkat", 263, 35, .remove, at: 0, 1),
        .init("rmdir", 84, none, .remove, at: -1, 0), .init("rename", 82, none, .rename, at: -1, 0, to: -1, 1),
        .init("renameat", 264, 38, .rename, at: 0, 1, to: 2, 3),
        .init("renameat2", 316, 276, .rename, at: 0, 1, to: 2, 3), .init("link", 86, none, .link, at: -1, 0, to: -1, 1),
        .init("linkat", 265, 37, .link, at: 0, 1, to: 2, 3),
    ]

    fileprivate static let others: [TracedCall] = [
        .init("bind", 49, 200, .bind, at: 0, 1, flags: 2), .init("connect", 42, 203, .connect, at: 0, 1, flags: 2),
        .init("sendto", 44, 206, .sendTo, at: 0, 4, flags: 5), .init("sendmsg", 46, 211, .sendMessage, at: 0, 1),
        .init("sendmmsg", 307, 269, .sendMessage, at: 0, 1), .init("socket", 41, 198, .socket),
        .init("mmap", 9, 222, .map, at: 4, flags: 2), .init("ioctl", 16, 29, .control, at: 0),
        .init("setuid", 105, 146, .privilege, needs: .setuid), .init("setgid", 106, 144, .privilege, needs: .setgid),
        .init("setreuid", 113, 145, .privilege, needs: .setuid),
        .init("setregid", 114, 143, .privilege, needs: .setgid),
        .init("setresuid", 117, 147, .privilege, needs: .setuid),
        .init("setresgid", 119, 149, .privilege, needs: .setgid),
        .init("setgroups", 116, 159, .privilege, needs: .setgid),
        .init("chroot", 161, 51, .privilege, needs: .sysChroot),
        .init("setpriority", 141, 140, .privilege, needs: .sysNice),
        .init("sched_setscheduler", 144, 119, .privilege, needs: .sysNice),
        .init("sched_setparam", 142, 118, .privilege, needs: .sysNice),
        .init("sched_setattr", 314, 274, .privilege, needs: .sysNice),
        .init("mlock", 149, 228, .privilege, needs: .ipcLock), .init("mlockall", 151, 230, .privilege, needs: .ipcLock),
        .init("setrlimit", 160, 164, .privilege, needs: .sysResource),
        .init("prlimit64", 302, 261, .privilege, needs: .sysResource),
        .init("ptrace", 101, 117, .trace),
    ]
}
