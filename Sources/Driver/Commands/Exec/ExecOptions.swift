import Planning
import Shared

/// The command line of `exec`.
struct ExecOptions: Equatable, Sendable {
    /// What a person calls the task.
    let task: String
    let command: [String]
    /// Nil: where stdin and stdout are one.
    var terminal: Bool?
    /// Nil: the plugin's usual one and those of `run`.
    var stateDirectory: String?
    var executorPath: String?

    static let table = [
        CommandOption(
            name: "tty", letter: "t",
            help: "give the command a terminal; default: where stdin and stdout are terminals"),
        CommandOption(name: "no-tty", letter: "T", help: "give it none"),
        CommandOption(
            name: "state-dir", value: "DIRECTORY",
            help:
                "the plugin's state_dir; default: \(PluginConfiguration().stateDirectory), and every \"run\" of this host",
            completes: .directories),
        CommandOption(name: "executor", value: "PATH", help: "where nomad-driver-exec2-executor is", completes: .files),
        CommandOption(name: "help", letter: "h", help: "show this help"),
    ]

    /// Reads the words after `exec`; nil where they ask for help.
    init?(_ words: [String]) throws(UsageError) {
        let (found, rest) = try OptionScanner(options: Self.table).scan(words)
        if found.contains(where: { $0.name == "help" }) { return nil }
        guard let task = rest.first, !task.isEmpty else {
            throw UsageError("name the task and the command to run in it")
        }
        // Between the task and the command -- may stand as well.
        let command = rest.dropFirst(rest.count > 1 && rest[1] == "--" ? 2 : 1)
        guard let name = command.first, !name.isEmpty else {
            throw UsageError("name the command to run in task \(quoted(task))")
        }
        self.task = task
        self.command = Array(command)
        for option in found {
            switch option.name {
            case "tty": terminal = true
            case "no-tty": terminal = false
            case "state-dir": stateDirectory = try Self.text(option)
            case "executor": executorPath = try Self.text(option)
            default: preconditionFailure("an option of the table without a case: \(option.name)")
            }
        }
    }

    private static func text(_ option: OptionScanner.Found) throws(UsageError) -> String {
        let value = option.value ?? ""
        try OptionScanner.checkPath(value, of: option.name)
        return value
    }
}
