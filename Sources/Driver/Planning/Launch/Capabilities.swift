/// Linux capabilities by number (capabilities(7), uapi linux/capability.h).
package enum Capability: UInt64, CaseIterable, Sendable {
    case chown, dacOverride, dacReadSearch, fowner, fsetid, kill, setgid, setuid, setpcap, linuxImmutable
    case netBindService, netBroadcast, netAdmin, netRaw, ipcLock, ipcOwner, sysModule, sysRawio, sysChroot, sysPtrace
    case sysPacct, sysAdmin, sysBoot, sysNice, sysResource, sysTime, sysTtyConfig, mknod, lease, auditWrite
    case auditControl, setfcap, macOverride, macAdmin, syslog, wakeAlarm, blockSuspend, auditRead, perfmon, bpf
    case checkpointRestore

    /// The kernel's names by number, without `cap_`.
    private static let names = [
        "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
        "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
        "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
        "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
        "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
        "checkpoint_restore",
    ]

    /// The kernel's name without `cap_`.
    package var name: String { Self.names[Int(rawValue)] }

    /// The capability's bit in the kernel's sets.
    package var bit: UInt64 { 1 << rawValue }

    /// Every bit that has a name here.
    static let every: UInt64 = allCases.reduce(0) { $0 | $1.bit }

    /// What a task of root's has by itself: what Nomad's own exec driver leaves its tasks, less mknod, which
    /// the Landlock ruleset denies anyway. Everything that administers the host is cut.
    static let forRoot: UInt64 = [
        Capability.chown, .dacOverride, .fowner, .fsetid, .kill, .setgid, .setuid, .setpcap, .netBindService,
        .sysChroot, .setfcap,
    ].reduce(0) { $0 | $1.bit }
}

/// A list of capabilities as configurations have it: names in any case, with `cap_` or without, and `all`.
package struct CapabilityList: Equatable, Sendable {
    private(set) var hasAll = false
    /// In the order of the list.
    private(set) var named: [Capability] = []

    static let empty = CapabilityList()
    package static let all: CapabilityList = {
        var list = CapabilityList()
        list.hasAll = true
        return list
    }()

    /// What a name that `add` does not know must be.
    package static let requirement = "must be the name of a Linux capability, such as net_bind_service, or all"

    /// Whether a text has the form of a capability's name: letters, digits and underscores.
    static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: false
                }
            }
    }

    /// Adds the capability of this name; false if it does not exist.
    package mutating func add(_ name: String) -> Bool {
        let lower = name.lowercased()
        if lower == "all" {
            hasAll = true
            return true
        }
        let plain = lower.hasPrefix("cap_") ? String(lower.dropFirst(4)) : lower
        guard let capability = Capability.allCases.first(where: { $0.name == plain }) else { return false }
        if !named.contains(capability) { named.append(capability) }
        return true
    }

    /// The capabilities by name as the kernel's bits.
    var mask: UInt64 { named.reduce(0) { $0 | $1.bit } }

    func contains(_ capability: Capability) -> Bool { hasAll || named.contains(capability) }
}
