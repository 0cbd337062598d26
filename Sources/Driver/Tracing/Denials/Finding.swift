import Shared

/// A denial of something that a program attempted, and what would allow it.
final class Finding: Sendable {
    enum Remedy: UInt8, Sendable {
        case rule
        /// A value in a task option that is a list.
        case option
        /// An option of the plugin, set to true.
        case pluginOption
        /// The file's own permissions refuse it, so that no rule would help.
        case permissions
        /// Neither a rule nor an option would allow it.
        case none
    }

    let remedy: Remedy
    /// The path of the rule, the name of the option, or what was refused.
    let subject: String
    /// Those of the rule.
    let modes: AccessModes
    let isDirectory: Bool
    /// The value in the option, as HCL.
    let value: String
    /// Such as "not unveiled (ENOENT)".
    let reason: String
    /// The path that the program used; empty if it is the rule's.
    let requestedPath: String

    init(
        _ remedy: Remedy, _ subject: String, modes: AccessModes = [], isDirectory: Bool = false, value: String = "",
        _ reason: String, requestedPath: String = ""
    ) {
        self.remedy = remedy
        self.subject = subject
        self.modes = modes
        self.isDirectory = isDirectory
        self.value = value
        self.reason = reason
        self.requestedPath = requestedPath
    }

    /// About how many bytes of memory it and its title take.
    var size: Int { 512 + 2 * subject.utf8.count + requestedPath.utf8.count }

    /// The same finding with the path that the program used.
    func requested(as path: String) -> Finding {
        if path == subject || remedy != .rule { return self }
        return Finding(
            remedy, subject, modes: modes, isDirectory: isDirectory, value: value, reason, requestedPath: path)
    }

    /// The remedy, or what was refused: findings with the same title are reported once.
    var title: String {
        switch remedy {
        case .rule: Self.printable(modes.letters + ":" + subject)
        case .option: subject + " = [" + value + "]"
        case .pluginOption: subject + " = true"
        case .permissions: "file permissions of " + Self.printable(subject)
        case .none: subject
        }
    }

    /// The program wanted to read the host's accounts or groups.
    var isOfAccounts: Bool {
        remedy == .rule && modes == .read && (subject == "/etc/passwd" || subject == "/etc/group")
    }

    /// The line that reports it.
    func line(_ process: TracedProcess, call: String) -> String {
        let title = title
        var line = "denied  " + title
        line += String(repeating: " ", count: max(0, 40 - title.utf8.count))
        line += "  " + Self.printable(process.name) + "[" + String(process.pid) + "] " + call + ": " + reason
        return requestedPath.isEmpty ? line : line + "; asked for " + Self.printable(requestedPath)
    }

    /// A text that the task has chosen, safe for a terminal: in quotes if it is empty or has other than plain
    /// characters.
    static func printable(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
        return isPlain && !text.isEmpty ? text : quoted(ByteText.readable(text), limit: 4096)
    }
}

/// The names of errors that denials cause.
func errorName(_ error: Errno) -> String {
    switch error.rawValue {
    case 1: "EPERM"
    case 2: "ENOENT"
    case 13: "EACCES"
    case 18: "EXDEV"
    case 20: "ENOTDIR"
    case 30: "EROFS"
    case 38: "ENOSYS"
    case 93: "EPROTONOSUPPORT"
    case 95: "EOPNOTSUPP"
    case 97: "EAFNOSUPPORT"
    case 111: "ECONNREFUSED"
    default: error.text
    }
}
