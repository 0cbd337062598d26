/// One `complete` for each word that may come; fish itself keeps track of the line.
enum FishCompletion {
    static let script = """
        # Completion of nomad-driver-exec2 for fish, by "nomad-driver-exec2 completion fish".
        complete -c nomad-driver-exec2 -f
        function __nomad_driver_exec2_tasks
            set -l words (commandline -opc)
            set -l options (string match -- '--state-dir=*' $words)
            set -l index (contains -i -- --state-dir $words)
            and set options --state-dir=$words[(math $index + 1)]
            $words[1] tasks --quiet $options 2>/dev/null
        end
        \((top + Command.all.flatMap(lines)).joined(separator: "\n"))

        """

    private static var top: [String] {
        HelpText.topLevelOptions.map { line($0, when: "__fish_use_subcommand") }
            + Command.all.map {
                "complete -c nomad-driver-exec2 -n __fish_use_subcommand -a \($0.name) -d \($0.summary.inQuotes)"
            }
    }

    private static func lines(_ command: Command) -> [String] {
        let when = "__fish_seen_subcommand_from \(command.name)"
        let operands: [String] =
            switch command.operands {
            case .none: []
            case .oneOf(let words):
                ["complete -c nomad-driver-exec2 -n '\(when)' -a '\(words.joined(separator: " "))'"]
            case .program:
                ["complete -c nomad-driver-exec2 -n '\(when)' -F -a '(__fish_complete_command)'"]
            case .task: ["complete -c nomad-driver-exec2 -n '\(when)' -a '(__nomad_driver_exec2_tasks)'"]
            case .programInTask:
                [
                    "complete -c nomad-driver-exec2 -n '\(when)' -F -a '(__fish_complete_command)'",
                    "complete -c nomad-driver-exec2 -n '\(when)' -k -a '(__nomad_driver_exec2_tasks)'",
                ]
            }
        return command.options.map { line($0, when: "'\(when)'") } + operands
    }

    private static func line(_ option: CommandOption, when condition: String) -> String {
        var line = "complete -c nomad-driver-exec2 -n \(condition) -l \(option.name)"
        if let letter = option.letter { line += " -s \(letter)" }
        if option.value != nil {
            switch option.completes {
            case .nothing: line += " -x"
            case .files: line += " -r -F"
            case .directories: line += " -x -a '(__fish_complete_directories)'"
            case .users: line += " -x -a '(__fish_complete_users)'"
            case .variables: line += " -x -a '(set -nx)'"
            case .networkNamespaces: line += " -x -a '(command ls /run/netns 2>/dev/null)'"
            case .words(let words): line += " -x -a '\(words.joined(separator: " "))'"
            case .rule: line += " -r -F -a '\(CommandOption.commonRules.joined(separator: " "))'"
            }
        }
        return line + " -d " + option.help.inQuotes
    }
}
