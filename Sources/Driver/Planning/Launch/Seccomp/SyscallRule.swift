import Glibc

/// What a filter answers in place of the kernel to a system call, always or by its arguments.
struct SyscallRule: Equatable, Sendable {
    /// A test of one argument's lower half: of every argument here the kernel itself looks at no more.
    enum Condition: Equatable, Sendable {
        case equals(argument: Int, UInt32)
        case anyBit(argument: Int, of: UInt32)
        case noneOf(argument: Int, [UInt32])

        /// Which argument it is about, counted from 0.
        var argument: Int {
            switch self {
            case .equals(let argument, _), .anyBit(let argument, _), .noneOf(let argument, _): argument
            }
        }
    }

    let call: SyscallNumber
    /// The rule applies if all of them hold, and always if the list is empty.
    let conditions: [Condition]
    /// errno of the answer.
    let error: Int32

    init(_ call: SyscallNumber, where conditions: Condition..., error: Int32) {
        self.call = call
        self.conditions = conditions
        self.error = error
    }
}

/// System calls that belong together: closed to tasks and opened by one name.
///
/// EPERM is what a task without the capability gets from the kernel too; ENOSYS and EAFNOSUPPORT make
/// programs fall back to what they do on kernels without the call.
package enum SyscallGroup: String, CaseIterable, Sendable {
    case accounting, bpf, clock, handles, hostname, keyrings, modules, mounts, namespaces, newer, obsolete, perf, quota
    case restart, sockets, swap, terminal, userfaultfd, vsock
    case ioPorts = "io_ports"
    case ioUring = "io_uring"
    case kernelLog = "kernel_log"

    /// CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET of uapi linux/sched.h.
    private static let newNamespaces: UInt32 = 0x7E02_0000
    /// CLONE_NEWTIME: unshare(2) takes it; to clone(2) it is a part of the signal's number.
    private static let newTimeNamespace: UInt32 = 0x80

    /// What the group's calls are answered with, in a task that has no capability and no other group opened.
    /// `newer` is about numbers that have no name here (`TaskSyscalls.closesUnknownNumbers`).
    var rules: [SyscallRule] {
        func deny(_ calls: [SyscallNumber], _ error: Int32 = EPERM) -> [SyscallRule] {
            calls.map { SyscallRule($0, error: error) }
        }
        return switch self {
        case .accounting: deny([.accounting])
        case .bpf: deny([.bpf])
        case .clock: deny(SyscallNumber.clock)
        case .handles: deny([.handles])
        case .hostname: deny(SyscallNumber.hostname)
        case .ioPorts: deny(SyscallNumber.inputOutput)
        case .ioUring: deny(SyscallNumber.ioUring, ENOSYS)
        case .kernelLog: deny([.kernelLog])
        case .keyrings: deny(SyscallNumber.keyrings)
        case .modules: deny(SyscallNumber.modules)
        case .mounts: deny(SyscallNumber.mounts)
        case .namespaces:
            // The flags of clone3 are in memory, which no filter sees; its callers fall back to clone.
            [
                SyscallRule(.clone, where: .anyBit(argument: 0, of: Self.newNamespaces), error: EPERM),
                SyscallRule(.clone3, error: ENOSYS),
                SyscallRule(
                    .unshare, where: .anyBit(argument: 0, of: Self.newNamespaces | Self.newTimeNamespace), error: EPERM),
                SyscallRule(.setns, error: EPERM),
                SyscallRule(.listns, error: ENOSYS),
            ]
        case .newer: []
        case .obsolete: deny(SyscallNumber.obsolete, ENOSYS)
        case .perf: deny([.perf])
        case .quota: deny(SyscallNumber.quota)
        case .restart: deny(SyscallNumber.restart)
        case .sockets: SocketFamilies().rules
        case .swap: deny(SyscallNumber.swap)
        case .terminal: deny([.terminal])
        case .userfaultfd: deny([.userfaultfd])
        case .vsock:
            [SyscallRule(.socket, where: .equals(argument: 0, SocketFamilies.vsock), error: EAFNOSUPPORT)]
        }
    }

    /// A task that has one of these capabilities is trusted with the calls that it stands for.
    var openedBy: [Capability] {
        switch self {
        case .accounting: [.sysPacct]
        case .bpf: [.bpf, .sysAdmin]
        case .clock: [.sysTime]
        case .handles: [.dacReadSearch]
        case .hostname, .mounts, .namespaces, .quota, .swap: [.sysAdmin]
        case .ioPorts: [.sysRawio]
        case .kernelLog: [.syslog, .sysAdmin]
        case .modules: [.sysModule]
        case .perf: [.perfmon, .sysAdmin]
        case .restart: [.sysBoot]
        case .terminal: [.sysTtyConfig]
        case .ioUring, .keyrings, .newer, .obsolete, .sockets, .userfaultfd, .vsock: []
        }
    }

    /// What an unknown name must be.
    package static let requirement =
        "must be one of " + allCases.map(\.rawValue).sorted().joined(separator: ", ") + " (see docs/security.md)"
}
