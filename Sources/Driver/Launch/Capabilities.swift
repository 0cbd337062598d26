/// Linux capabilities by number (capabilities(7), uapi linux/capability.h).
enum Capability: UInt64 {
    case chown = 0
    case dacOverride = 1
    case fowner = 3
    case fsetid = 4
    case kill = 5
    case setgid = 6
    case setuid = 7
    case setpcap = 8
    case netBindService = 10
    case sysChroot = 18
    case auditWrite = 29
    case setfcap = 31

    /// What a task of root's may have: what Nomad's own exec driver leaves its tasks, less mknod, which
    /// the Landlock ruleset denies anyway. Everything that administers the host is cut.
    static let forRoot: UInt64 = [
        Capability.chown, .dacOverride, .fowner, .fsetid, .kill, .setgid, .setuid, .setpcap, .netBindService,
        .sysChroot, .auditWrite, .setfcap,
    ].reduce(0) { $0 | 1 << $1.rawValue }
}
