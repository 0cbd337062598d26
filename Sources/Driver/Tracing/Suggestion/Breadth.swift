import Planning
import Shared

/// How much of the host a rule for a directory gives away, by the usual contents of directories (hier(7)).
enum Breadth {
    /// Directories that belong to the whole host, or to all users: no rule is widened to them.
    static func isTooWide(_ path: String) -> Bool {
        let parts = path.pathComponents
        if let last = parts.last, personal.contains(String(last)) { return true }
        switch parts.first {
        case nil: return true
        case "proc", "dev": return true
        case "sys": return parts.count < 4
        case "usr":
            return parts.count < 3 && path != "/usr/include" || parts.count == 3 && sharedBelowUsr.contains(path)
        case "var": return parts.count < 3 || parts.count == 3 && hasSecrets(path)
        case "opt": return parts.count < 2 || parts.count == 2 && hasSecrets(path)
        case "etc": return parts.count < 2 || parts.count == 2 && hasSecrets(path)
        case "home", "root": return parts.count < 3
        case "run": return parts.count < 2 || parts.count == 2 && ["lock", "user", "secrets"].contains(parts[1])
        default: return parts.count < 2
        }
    }

    private static let sharedBelowUsr: [String] = [
        "/usr/local/bin", "/usr/local/etc", "/usr/local/include", "/usr/local/lib", "/usr/local/sbin",
        "/usr/local/share",
        "/usr/local/src",
    ]

    /// Directories that are suggested only as a comment, so that a person decides about them.
    static func needsDecision(_ path: String) -> Bool {
        let parts = path.pathComponents
        guard parts.count < 2 else {
            return parts.count == 2 && ["usr", "var", "proc", "sys", "dev"].contains(parts[0]) && isTooWide(path)
                && !isFileByCustom(path)
        }
        let ofSystem = [
            "bin", "boot", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr",
            "var",
        ]
        return parts.first.map { ofSystem.contains(String($0)) } ?? true
    }

    /// In /proc and /dev, entries are mostly files.
    private static func isFileByCustom(_ path: String) -> Bool { path.hasPrefix("/proc/") || path.hasPrefix("/dev/") }

    /// Directories and files that hold keys, passwords, or the configuration of who may do what.
    static func hasSecrets(_ path: String) -> Bool {
        let parts = path.pathComponents
        if parts.contains(where: { personal.contains(String($0)) }) { return true }
        switch parts.first {
        case "root": return true
        case "etc": return parts.count > 1 && ofEtc.contains(String(parts[1]))
        case "opt": return parts.count > 1 && ofServices.contains(String(parts[1]))
        case "var": return parts.count > 2 && parts[1] == "lib" && ofServices.contains(String(parts[2]))
        default: return false
        }
    }

    private static let ofEtc = [
        "NetworkManager", "ceph", "consul.d", "containerd", "cron.d", "cron.daily", "crypttab", "default", "docker",
        "gshadow", "gshadow-", "ipsec.d", "ipsec.secrets", "krb5.keytab", "kubernetes", "letsencrypt", "nomad.d",
        "openvpn",
        "pam.d", "pki", "ppp", "security", "shadow", "shadow-", "ssh", "ssl", "sudoers", "sudoers.d", "systemd",
        "vault.d",
        "wireguard",
    ]

    /// Below /opt and /var/lib.
    private static let ofServices = [
        "NetworkManager", "consul", "containerd", "containers", "docker", "kubelet", "nomad", "private", "rancher",
        "systemd",
        "vault",
    ]

    /// In a user's home directory.
    private static let personal = [
        ".aws", ".azure", ".docker", ".gnupg", ".kube", ".netrc", ".pgpass", ".pki", ".ssh", ".vault-token",
    ]

    /// A wider rule for a file that is read: the program's directory in /etc, /usr/share or /opt, of which a program
    /// mostly reads more than one file.
    static func widened(_ path: String, isDirectory: Bool) -> String? {
        let parts = path.pathComponents
        func first(_ count: Int) -> String? {
            guard parts.count > count || parts.count == count && isDirectory else { return nil }
            return "/" + parts.prefix(count).joined(separator: "/")
        }
        switch parts.first {
        case "etc": return hasSecrets(path) ? nil : first(2)
        case "opt": return hasSecrets(path) ? nil : first(2)
        case "usr" where parts.count > 1:
            if parts[1] == "share" { return first(3) }
            if parts[1] == "include" { return first(2) }
            if parts[1] == "local" && parts.count > 2 { return parts[2] == "share" ? first(4) : nil }
            return nil
        default: return nil
        }
    }

    /// What an operator has to know about a rule; nil if it gives nothing away.
    static func warning(_ rule: Suggestion.Rule, own: [String]) -> String? {
        let path = rule.path
        let parts = path.pathComponents
        var warnings: [String] = []
        if parts.isEmpty { warnings.append("the whole host") }
        if path == "/root" || path == "/home" || parts.count == 2 && parts[0] == "home" && rule.isDirectory {
            warnings.append(path == "/home" ? "all home directories" : "a whole home directory")
        } else if needsDecision(path) && !parts.isEmpty {
            warnings.append("the whole of " + Finding.printable(path))
        }
        if hasSecrets(path) { warnings.append("what may hold keys or passwords") }
        if parts.first == "dev" && parts.count > 1 { warnings.append("a device of the host") }
        if parts.first == "proc" && parts.count > 1 && parts[1] != "self" {
            warnings.append("a part of /proc that is about the whole host")
        }
        if ["docker.sock", "containerd.sock", "podman.sock"].contains(parts.last.map { String($0) }) {
            warnings.append("a socket by which everything on this host can be done")
        }
        let writes = !rule.modes.isDisjoint(with: [.write, .create])
        if writes && !path.hasPrefix("/proc/self/") && !own.contains(where: { path.isWithin($0) }) {
            warnings.append("writing outside of the task's directories")
        }
        return warnings.isEmpty ? nil : "gives " + warnings.joined(separator: ", ")
    }
}
