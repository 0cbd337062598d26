/// The paths that a task reaches without being given them, while the plugin option `unveil_defaults` is on.
///
/// Every one is optional: what does not exist on the host at launch is left out.
public struct UnveilDefault: Sendable {
    /// What a path is there for; the order is that of the documentation.
    public enum Group: Sendable {
        case programs
        case sharedObjects
        case io
        case common
        case runtimes
        case dns
        case certificates
    }

    /// Its group in the documentation.
    public let group: Group
    /// The modes and the path.
    public let rule: UnveilRule

    /// On a usual host the path is below /proc or a symbolic link into it (/dev/fd, /dev/stdin, …), so that it
    /// means another file in the task's own /proc: it must be opened there and not by the Executor.
    public let isBoundToProc: Bool

    init(_ group: Group, _ modes: AccessModes, _ path: String, isBoundToProc: Bool = false) {
        self.group = group
        self.rule = UnveilRule(modes: modes, path: path)
        self.isBoundToProc = isBoundToProc
    }

    /// The default paths of the host.
    public static let paths: [UnveilDefault] =
        programs + sharedObjects + io + common + runtimes + dns + certificates

    /// The task's own directories, by their names in the task directory; all with every mode.
    public static var taskDirectoryNames: [String] { ["local", "secrets", "tmp", "alloc"] }

    /// Rules for the task's own directories below `taskDirectory` (absolute, without a slash at its end).
    public static func taskDirectories(in taskDirectory: String) -> [UnveilRule] {
        taskDirectoryNames.map { UnveilRule(modes: .all, path: taskDirectory + "/" + $0) }
    }

    private static var programs: [UnveilDefault] {
        ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"]
            .map { UnveilDefault(.programs, [.read, .execute], $0) }
    }

    private static var sharedObjects: [UnveilDefault] {
        [
            "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/lib64",
        ].map { UnveilDefault(.sharedObjects, [.read, .execute], $0) }
            + ["/etc/ld.so.conf", "/etc/ld.so.cache", "/etc/ld.so.conf.d"]
            .map { UnveilDefault(.sharedObjects, .read, $0) }
    }

    private static var io: [UnveilDefault] {
        [
            UnveilDefault(.io, [.read, .write], "/dev/null"),
            UnveilDefault(.io, [.read, .write], "/dev/full"),
            UnveilDefault(.io, [.read, .write], "/dev/stdin", isBoundToProc: true),
            UnveilDefault(.io, [.read, .write], "/dev/stdout", isBoundToProc: true),
            UnveilDefault(.io, [.read, .write], "/dev/stderr", isBoundToProc: true),
            UnveilDefault(.io, .read, "/dev/zero"),
            UnveilDefault(.io, .read, "/dev/fd", isBoundToProc: true),
            UnveilDefault(.io, .read, "/dev/urandom"),
            UnveilDefault(.io, .read, "/dev/random"),
        ]
    }

    private static var common: [UnveilDefault] {
        [
            UnveilDefault(.common, [.read, .write, .create], "/tmp"),
            UnveilDefault(.common, .write, "/dev/log"),
            UnveilDefault(.common, .read, "/usr/share/locale"),
            UnveilDefault(.common, .read, "/usr/share/zoneinfo"),
            UnveilDefault(.common, .read, "/usr/share/common-licenses"),
            UnveilDefault(.common, .read, "/proc/self/cmdline", isBoundToProc: true),
            UnveilDefault(.common, .read, "/proc/self/mountinfo", isBoundToProc: true),
            UnveilDefault(.common, .read, "/proc/sys/kernel/ngroups_max", isBoundToProc: true),
            UnveilDefault(.common, .read, "/proc/sys/kernel/cap_last_cap", isBoundToProc: true),
            UnveilDefault(.common, .read, "/proc/sys/vm/overcommit_memory", isBoundToProc: true),
        ]
    }

    /// What distributions keep outside of the directories above, of programs in them.
    private static var runtimes: [UnveilDefault] {
        ["/etc/alternatives", "/usr/share/perl", "/usr/share/perl5", "/usr/share/terminfo", "/etc/terminfo"]
            .map { UnveilDefault(.runtimes, .read, $0) }
            + javaVersions.map { UnveilDefault(.runtimes, .read, "/etc/java-\($0)-openjdk") }
            + ["/etc/localtime", "/etc/timezone"].map { UnveilDefault(.runtimes, .read, $0) }
    }

    /// Those with long support, which Debian and Ubuntu have packages of.
    private static var javaVersions: [String] { ["8", "11", "17", "21", "25"] }

    private static var dns: [UnveilDefault] {
        [
            "/etc/hosts", "/hostname", "/etc/hostname", "/etc/services", "/etc/protocols", "/etc/resolv.conf",
            "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
        ].map { UnveilDefault(.dns, .read, $0) }
    }

    private static var certificates: [UnveilDefault] {
        [
            "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
            "/etc/pki/ca-trust-extracted/pem/tls-ca-bundle.pem",
            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
            "/etc/ssl/openssl.cnf", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
        ].map { UnveilDefault(.certificates, .read, $0) }
    }
}
