import Shared

/// Something that a program was refused, and what would allow it.
final class Finding: Sendable {
    enum Remedy: UInt8, Sendable {
        case rule
        /// A task option that is a list, and what it would have to list.
        case option
        /// An option of the plugin, to be set to true.
        case pluginOption
        /// The file's own permissions refuse it: no rule helps.
        case permissions
        /// Nothing that a task can be given.
        case none
    }

    let remedy: Remedy
    /// The path of a rule, the name of an option, or what was refused.
    let subject: String
    /// Of a rule.
    let modes: AccessModes
    let isDirectory: Bool
    /// Of an option, as HCL.
    let value: String
    /// "not unveiled (ENOENT)".
    let reason: String
    /// The path as it was asked for, where the rule names another; empty where it names that one.
    let asked: String

    init(
        _ remedy: Remedy, _ subject: String, modes: AccessModes = [], isDirectory: Bool = false, value: String = "",
        _ reason: String, asked: String = ""
    ) {
        self.remedy = remedy
        self.subject = subject
        self.modes = modes
        self.isDirectory = isDirectory
        self.value = value
        self.reason = reason
        self.asked = asked
    }

    /// About how many bytes of memory it and its title take.
    var size: Int { 512 + 2 * subject.utf8.count + asked.utf8.count }

    /// The same, with the path that was asked for.
    func asked(for path: String) -> Finding {
        if path == subject || remedy != .rule { return self }
        return Finding(remedy, subject, modes: modes, isDirectory: isDirectory, value: value, reason, asked: path)
    }

    /// What is said once: the remedy, or what there is in its place.
    var title: String {
        switch remedy {
        case .rule: Self.shown(modes.letters + ":" + subject)
        case .option: subject + " = [" + value + "]"
        case .pluginOption: subject + " = true"
        case .permissions: "file permissions of " + Self.shown(subject)
        case .none: subject
        }
    }

    /// To read the host's accounts or groups.
    var isOfAccounts: Bool {
        remedy == .rule && modes == .read && (subject == "/etc/passwd" || subject == "/etc/group")
    }

    /// The line that tells of it.
    func line(_ process: TracedProcess, call: String) -> String {
        let title = title
        var line = "denied  " + title
        line += String(repeating: " ", count: max(0, 40 - title.utf8.count))
        line += "  " + Self.shown(process.name) + "[" + String(process.pid) + "] " + call + ": " + reason
        return asked.isEmpty ? line : line + "; asked for " + Self.shown(asked)
    }

    /// A text of a task's as it may stand on a terminal: in quotes where it has more than plain characters.
    static func shown(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
        return isPlain && !text.isEmpty ? text : quoted(ByteText.readable(text), limit: 4096)
    }
}

/// Names of the errors that denials have.
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
