import Shared

/// `completion`: what a shell needs to complete a command line of this program. It is made of the tables
/// that the command line is parsed and the help is written by.
enum CompletionCommand {
    enum Shell: String, CaseIterable, Sendable {
        case bash, zsh, fish

        /// The script that the shell reads.
        var script: String {
            switch self {
            case .bash: BashCompletion.script
            case .zsh: ZshCompletion.script
            case .fish: FishCompletion.script
            }
        }
    }

    static let options = [CommandOption(name: "help", letter: "h", help: "show this help")]

    /// - Returns: The exit status.
    static func execute(_ words: [String]) throws(UsageError) -> Int32 {
        let (found, rest) = try OptionScanner(options: options).scan(words)
        if found.contains(where: { $0.name == "help" }) {
            Console.write(HelpText.completion)
            return 0
        }
        let shells = Shell.allCases.map(\.rawValue).joined(separator: ", ")
        guard let word = rest.first else { throw UsageError("completion needs the name of a shell: one of \(shells)") }
        guard let shell = Shell(rawValue: word) else {
            throw UsageError("there is no completion for \(quoted(word)): there is one for each of \(shells)")
        }
        if rest.count > 1 { throw UsageError("completion takes one shell, and there is \(quoted(rest[1]))") }
        Console.write(shell.script)
        return 0
    }
}

extension CommandOption {
    /// The letters that a rule most often begins with.
    static let commonRules = ["r:", "rx:", "rw:", "rwc:", "rwxc:"]

    /// "--unveil" and "-u".
    var forms: [String] { ["--" + name] + (letter.map { ["-\($0)"] } ?? []) }
}

extension StringProtocol {
    /// In single quotes, for any of the shells.
    var inQuotes: String { "'" + exchanging("'", for: #"'\''"#) + "'" }

    func exchanging(_ character: Character, for text: String) -> String {
        split(separator: character, omittingEmptySubsequences: false).joined(separator: text)
    }
}
