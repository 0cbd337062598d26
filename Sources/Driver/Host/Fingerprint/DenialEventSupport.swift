import CLinux
import Glibc
import Planning
import Shared

/// Whether this host can tell what its tasks are denied: the plugin option denial_events.
package enum DenialEventSupport: Equatable, Sendable {
    case possible
    /// The version of the kernel's Landlock; 0 if it has none.
    case landlockTooOld(Int)
    /// Records name processes as the host numbers them, and come to its network namespace alone.
    case otherNamespaces
    /// The log cannot be read.
    case unreadable(Errno)
    case auditingOff

    /// The first version of Landlock whose denials are logged.
    static let minimumABI = 7

    /// Asks the kernel.
    static func onHost(landlockABI: Int) -> DenialEventSupport {
        if landlockABI < minimumABI { return .landlockTooOld(landlockABI) }
        guard isInHostsNamespaces else { return .otherNamespaces }
        let log = OwnedDescriptor(owning: exec2_audit_open())
        guard log.number >= 0 else { return .unreadable(.last) }
        // Without the right to ask, it may be on.
        return exec2_audit_enabled() == 0 ? .auditingOff : .possible
    }

    /// The kernel gives the first PID namespace this number (proc_ns.h, PROC_PID_INIT_INO).
    private static let firstPIDNamespace: UInt64 = 0xEFFF_FFFC

    /// The network namespace of the host's init, where that may be asked for.
    private static var isInHostsNamespaces: Bool {
        guard inode("/proc/self/ns/pid") == firstPIDNamespace else { return false }
        return inode("/proc/1/ns/net").map { $0 == inode("/proc/self/ns/net") } ?? true
    }

    private static func inode(_ path: String) -> UInt64? {
        var facts = stat()
        return stat(path, &facts) == 0 ? UInt64(facts.st_ino) : nil
    }

    /// What is wrong; nil where nothing is.
    package var obstacle: String? {
        switch self {
        case .possible: nil
        case .landlockTooOld(let version):
            "the kernel logs no denials: its Landlock has version \(version), and version \(Self.minimumABI) (Linux "
                + "\(LandlockProtection.kernel(ofABI: Self.minimumABI))) does"
        case .otherNamespaces:
            "the driver is not in the host's PID and network namespaces, to which the kernel's audit log belongs"
        case .unreadable(let errno) where errno.rawValue == EPROTONOSUPPORT:
            "the kernel has no audit log (CONFIG_AUDIT)"
        case .unreadable(let errno): "cannot read the kernel's audit log: \(errno.text)"
        case .auditingOff: "the kernel's auditing is off"
        }
    }

    /// What to do about it.
    package var remedy: String {
        switch self {
        case .possible: ""
        case .landlockTooOld: "use a newer kernel"
        case .otherNamespaces: "run the agent in the host's namespaces, not in a container"
        case .unreadable(let errno) where errno == .notPermitted: "give the agent CAP_AUDIT_READ"
        case .unreadable: "use a kernel with it"
        case .auditingOff: "switch it on with auditctl -e 1, or with audit=1 on the kernel's command line"
        }
    }
}
