/// A processor architecture whose system calls are known.
package enum SyscallArchitecture: CaseIterable, Sendable {
    case amd64, arm64

    /// The one that this program was built for.
    package static var native: SyscallArchitecture {
        #if arch(x86_64)
            .amd64
        #else
            .arm64
        #endif
    }

    /// AUDIT_ARCH_* of uapi linux/audit.h, which a filter finds in `seccomp_data.arch`.
    package var auditToken: UInt32 {
        switch self {
        case .amd64: 0xC000_003E
        case .arm64: 0xC000_00B7
        }
    }

    /// The last number of the table: rseq_slice_yield, the newest call of Linux 7.2.
    static let lastKnownNumber: UInt32 = 471

    /// Numbers up to the last one that this release knows, without those that no kernel has given to a call.
    var knownNumbers: [ClosedRange<UInt32>] {
        switch self {
        case .amd64: [0...336, 424...Self.lastKnownNumber]
        case .arm64: [0...243, 260...294, 424...Self.lastKnownNumber]
        }
    }
}

/// System calls by name, with their numbers (uapi asm/unistd_64.h and asm-generic/unistd.h). Written out:
/// a filter for either architecture can be made and tested on both, and libc's headers are older than kernels.
struct SyscallNumber: Equatable, Sendable {
    let name: String
    private let amd64: UInt32
    /// Nil where the architecture never had the call.
    private let arm64: UInt32?

    init(_ name: String, _ amd64: UInt32, _ arm64: UInt32?) {
        self.name = name
        self.amd64 = amd64
        self.arm64 = arm64
    }

    func number(on architecture: SyscallArchitecture) -> UInt32? {
        switch architecture {
        case .amd64: amd64
        case .arm64: arm64
        }
    }

    // What filters look at with its arguments.
    static let clone = SyscallNumber("clone", 56, 220)
    static let clone3 = SyscallNumber("clone3", 435, 435)
    static let unshare = SyscallNumber("unshare", 272, 97)
    static let setns = SyscallNumber("setns", 308, 268)
    static let listns = SyscallNumber("listns", 470, 470)
    static let socket = SyscallNumber("socket", 41, 198)
    static let socketpair = SyscallNumber("socketpair", 53, 199)
    static let sendto = SyscallNumber("sendto", 44, 206)
    static let sendmsg = SyscallNumber("sendmsg", 46, 211)
    static let sendmmsg = SyscallNumber("sendmmsg", 307, 269)

    static let ioUring = [
        SyscallNumber("io_uring_setup", 425, 425), SyscallNumber("io_uring_enter", 426, 426),
        SyscallNumber("io_uring_register", 427, 427),
    ]
    static let keyrings = [
        SyscallNumber("add_key", 248, 217), SyscallNumber("request_key", 249, 218), SyscallNumber("keyctl", 250, 219),
    ]
    static let mounts = [
        SyscallNumber("mount", 165, 40), SyscallNumber("umount2", 166, 39), SyscallNumber("pivot_root", 155, 41),
        SyscallNumber("open_tree", 428, 428), SyscallNumber("move_mount", 429, 429), SyscallNumber("fsopen", 430, 430),
        SyscallNumber("fsconfig", 431, 431), SyscallNumber("fsmount", 432, 432), SyscallNumber("fspick", 433, 433),
        SyscallNumber("mount_setattr", 442, 442), SyscallNumber("open_tree_attr", 467, 467),
    ]
    static let modules = [
        SyscallNumber("init_module", 175, 105), SyscallNumber("delete_module", 176, 106),
        SyscallNumber("finit_module", 313, 273),
    ]
    static let restart = [
        SyscallNumber("reboot", 169, 142), SyscallNumber("kexec_load", 246, 104),
        SyscallNumber("kexec_file_load", 320, 294),
    ]
    static let swap = [SyscallNumber("swapon", 167, 224), SyscallNumber("swapoff", 168, 225)]
    static let quota = [SyscallNumber("quotactl", 179, 60), SyscallNumber("quotactl_fd", 443, 443)]
    static let clock = [SyscallNumber("settimeofday", 164, 170), SyscallNumber("clock_settime", 227, 112)]
    static let hostname = [SyscallNumber("sethostname", 170, 161), SyscallNumber("setdomainname", 171, 162)]
    static let inputOutput = [SyscallNumber("iopl", 172, nil), SyscallNumber("ioperm", 173, nil)]
    static let obsolete = [SyscallNumber("uselib", 134, nil), SyscallNumber("lookup_dcookie", 212, 18)]
    static let accounting = SyscallNumber("acct", 163, 89)
    static let kernelLog = SyscallNumber("syslog", 103, 116)
    static let handles = SyscallNumber("open_by_handle_at", 304, 265)
    static let terminal = SyscallNumber("vhangup", 153, 58)
    static let userfaultfd = SyscallNumber("userfaultfd", 323, 282)
    static let bpf = SyscallNumber("bpf", 321, 280)
    static let perf = SyscallNumber("perf_event_open", 298, 241)
}
