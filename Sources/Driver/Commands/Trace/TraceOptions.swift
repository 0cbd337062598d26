import Planning
import Shared

/// The command line of `trace`.
struct TraceOptions: Equatable, Sendable {
    /// What a person calls the task.
    let task: String
    /// Nil: until a signal, or the task's end.
    var seconds: Int64?
    var suggests = false
    /// Nil: the plugin's usual one and those of `run`.
    var stateDirectory: String?

    static let suggestion = CommandOption(
        name: "suggest",
        help: "at the end, print the rules and options with which nothing would have been denied, as HCL")

    static let table = [
        CommandOption(
            name: "seconds", value: "N",
            help: "stop tracing after so many seconds; default: at Ctrl-C or the task's end"),
        suggestion,
        CommandOption(
            name: "state-dir", value: "DIRECTORY",
            help:
                "the plugin's state_dir; default: \(PluginConfiguration().stateDirectory), and every \"run\" of this host",
            completes: .directories),
        CommandOption(name: "help", letter: "h", help: "show this help"),
    ]

    /// The longest: a day.
    private static let range: ClosedRange<Int64> = 1...86_400

    /// Reads the words after `trace`; nil where they ask for help.
    ///
    /// Options may stand behind the task too: it takes no command whose options they could be.
    init?(_ words: [String]) throws(UsageError) {
        let scanner = OptionScanner(options: Self.table)
        var (found, rest) = try scanner.scan(words)
        let task = rest.first
        if !rest.isEmpty {
            let behind = try scanner.scan(Array(rest.dropFirst()))
            found += behind.found
            rest = behind.rest
        }
        if found.contains(where: { $0.name == "help" }) { return nil }
        guard let task, !task.isEmpty else { throw UsageError("name the task to trace") }
        if let word = rest.first { throw UsageError("trace takes one task, and there is \(quoted(word)) as well") }
        self.task = task
        for option in found {
            let value = option.value ?? ""
            switch option.name {
            case "seconds":
                guard let number = Int64(value), Self.range.contains(number) else {
                    throw UsageError("--seconds is \(quoted(value)): must be a whole number from 1 to 86400")
                }
                seconds = number
            case "suggest": suggests = true
            case "state-dir":
                try OptionScanner.checkPath(value, of: option.name)
                stateDirectory = value
            default: preconditionFailure("an option of the table without a case: \(option.name)")
            }
        }
    }
}
