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
    /// "--unveil" and "-u".
    fileprivate var forms: [String] { ["--" + name] + (letter.map { ["-\($0)"] } ?? []) }
}

extension StringProtocol {
    /// In single quotes, for any of the shells.
    fileprivate var inQuotes: String { "'" + exchanging("'", for: #"'\''"#) + "'" }

    fileprivate func exchanging(_ character: Character, for text: String) -> String {
        split(separator: character, omittingEmptySubsequences: false).joined(separator: text)
    }
}

// MARK: bash

/// The line is looked at as the shell has it up to the cursor, cut at blanks: what readline makes of
/// `r:/etc` depends on COMP_WORDBREAKS.
private enum BashCompletion {
    static let script = """
        # Completion of nomad-driver-exec2 for bash, by "nomad-driver-exec2 completion bash".
        _nomad_driver_exec2() {
            local -a words
            local command='' option='' operands=0 index word part
            read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
            [[ ${COMP_LINE:0:COMP_POINT} == *[[:blank:]] ]] && words+=('')
            COMPREPLY=()
            for ((index = 1; index < ${#words[@]} - 1; index++)); do
                word=${words[index]}
                if [[ $option ]]; then
                    option=''
                elif [[ $operands -gt 0 || ( $command && $word != -* ) ]]; then
                    operands=$((operands + 1))
                elif [[ $word == -- ]]; then
                    operands=1
                elif [[ $word != -* ]]; then
                    command=$word
                else
                    case $command:$word in
                    \(optionsWithValue)) option=$word ;;
                    esac
                fi
            done
            word=${words[${#words[@]} - 1]}
            part=$word
            if [[ ! $option && $operands -eq 0 && $word == --*=* ]]; then
                option=${word%%=*}
                part=${word#*=}
            fi
            case $command:$option in
        \(values)
            *:-*) return ;;
            esac
            if [[ $operands -eq 0 && $word == -* ]]; then
                case $command in
        \(optionLists)
                esac
                return
            fi
            case $command in
            '') COMPREPLY=($(compgen -W '\(Command.all.map(\.name).joined(separator: " "))' -- "$word")) ;;
        \(operands)
            esac
        }
        complete -F _nomad_driver_exec2 nomad-driver-exec2

        """

    private static var optionsWithValue: String {
        Command.all.flatMap { command in
            command.options.filter { $0.value != nil }.flatMap(\.forms).map { "\(command.name):\($0)" }
        }.joined(separator: " | ")
    }

    private static var values: String {
        Command.all.flatMap { command in
            command.options.filter { $0.value != nil }.map { option in
                let pattern = option.forms.map { "\(command.name):\($0)" }.joined(separator: " | ")
                return (["    \(pattern))"] + reply(option.completes) + ["        return ;;"]).joined(separator: "\n")
            }
        }.joined(separator: "\n")
    }

    private static func reply(_ kind: CommandOption.Completion) -> [String] {
        let lines: [String] =
            switch kind {
            case .nothing: []
            case .files: ["compopt -o filenames", #"COMPREPLY=($(compgen -f -- "$part"))"#]
            case .folders: ["compopt -o filenames", #"COMPREPLY=($(compgen -d -- "$part"))"#]
            case .users: [#"COMPREPLY=($(compgen -u -- "$part"))"#]
            case .variables: [#"COMPREPLY=($(compgen -e -- "$part"))"#]
            case .networkNamespaces:
                [#"COMPREPLY=($(compgen -W "$(cd /run/netns 2>/dev/null && echo *)" -- "$part"))"#]
            case .rule:
                [
                    "if [[ $part == *:* ]]; then", "    compopt -o filenames",
                    #"    COMPREPLY=($(compgen -f -- "${part#*:}"))"#,
                    // Where a colon does not part words the letters before it belong to the reply.
                    #"    [[ $COMP_WORDBREAKS == *:* ]] || COMPREPLY=("${COMPREPLY[@]/#/${part%%:*}:}")"#,
                    "else", "    compopt -o nospace",
                    "    COMPREPLY=($(compgen -W '\(rules.joined(separator: " "))' -- \"$part\"))", "fi",
                ]
            }
        return lines.map { "        " + $0 }
    }

    private static var optionLists: String {
        let top = "        '') COMPREPLY=($(compgen -W '\(list(HelpText.topLevelOptions))' -- \"$word\")) ;;"
        return
            ([top]
            + Command.all.map {
                "        \($0.name)) COMPREPLY=($(compgen -W '\(list($0.options))' -- \"$word\")) ;;"
            })
            .joined(separator: "\n")
    }

    private static func list(_ options: [CommandOption]) -> String {
        options.map { "--" + $0.name }.joined(separator: " ")
    }

    private static var operands: String {
        Command.all.compactMap { command -> String? in
            switch command.operands {
            case .none: nil
            case .oneOf(let words):
                "    \(command.name)) COMPREPLY=($(compgen -W '\(words.joined(separator: " "))' -- \"$word\")) ;;"
            case .program:
                """
                    \(command.name))
                        compopt -o filenames
                        if [[ $operands -le 1 && ${words[${#words[@]} - 2]} == @(\(command.name)|--) || $operands -eq 0 ]]; then
                            COMPREPLY=($(compgen -c -- "$word"))
                        else
                            COMPREPLY=($(compgen -f -- "$word"))
                        fi ;;
                """
            }
        }.joined(separator: "\n")
    }
}

/// The letters that a rule most often begins with.
private let rules = ["r:", "rx:", "rw:", "rwc:", "rwxc:"]

// MARK: zsh

private enum ZshCompletion {
    static let script = """
        #compdef nomad-driver-exec2
        # Completion of nomad-driver-exec2 for zsh, by "nomad-driver-exec2 completion zsh".
        _nomad_driver_exec2_rule() {
            if compset -P '*:'; then
                _files
            else
                compadd -S '' -- \(rules.joined(separator: " "))
            fi
        }
        _nomad_driver_exec2() {
            local curcontext=$curcontext state line
            local -a commands
            _arguments -C -S \\
        \(specifications(HelpText.topLevelOptions))
                '1:command:->command' \\
                '*::operand:->operands'
            case $state in
            command)
                commands=(
        \(Command.all.map { "            " + "\($0.name):\($0.summary)".inQuotes }.joined(separator: "\n"))
                )
                _describe -t commands command commands
                ;;
            operands)
                case $words[1] in
        \(Command.all.map(branch).joined(separator: "\n"))
                esac
                ;;
            esac
        }
        if [[ $funcstack[1] == _nomad_driver_exec2 ]]; then
            _nomad_driver_exec2 "$@"
        elif (( $+functions[compdef] )); then
            compdef _nomad_driver_exec2 nomad-driver-exec2
        fi

        """

    private static func branch(_ command: Command) -> String {
        let operands =
            switch command.operands {
            case .none: "        && return"
            case .oneOf(let words): "        '1:shell:(\(words.joined(separator: " ")))'"
            case .program: "        '(-):command: _command_names -e' \\\n        '*::argument: _normal'"
            }
        return """
                \(command.name))
                    _arguments -S \\
            \(specifications(command.options))
            \(operands)
                    ;;
            """
    }

    /// `'(-u --unveil)'{-u,--unveil}'[what it does]:MODES\:PATH:action' \`, one a line.
    private static func specifications(_ options: [CommandOption]) -> String {
        options.map { option in
            let text = option.help.exchanging("[", for: "(").exchanging("]", for: ")").exchanging(":", for: #"\:"#)
            let value =
                option.value.map { ":" + $0.exchanging(":", for: #"\:"#) + ":" + action(option.completes) } ?? ""
            let facts = "[\(text)]\(value)"
            guard let letter = option.letter else {
                return "        " + ("--\(option.name)" + (option.value == nil ? "" : "=") + facts).inQuotes + " \\"
            }
            let sign = option.value == nil ? ("", "") : ("+", "=")
            return "        " + (option.isRepeatable ? "'*'" : "'(-\(letter) --\(option.name))'")
                + "{-\(letter)\(sign.0),--\(option.name)\(sign.1)}" + facts.inQuotes + " \\"
        }.joined(separator: "\n")
    }

    private static func action(_ kind: CommandOption.Completion) -> String {
        switch kind {
        case .nothing: " "
        case .files: "_files"
        case .folders: "_files -/"
        case .users: "_users"
        case .variables: "_parameters -g \"*export*\""
        case .networkNamespaces: "_files -W /run/netns"
        case .rule: "_nomad_driver_exec2_rule"
        }
    }
}

// MARK: fish

private enum FishCompletion {
    static let script = """
        # Completion of nomad-driver-exec2 for fish, by "nomad-driver-exec2 completion fish".
        complete -c nomad-driver-exec2 -f
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
            case .folders: line += " -x -a '(__fish_complete_directories)'"
            case .users: line += " -x -a '(__fish_complete_users)'"
            case .variables: line += " -x -a '(set -nx)'"
            case .networkNamespaces: line += " -x -a '(command ls /run/netns 2>/dev/null)'"
            case .rule: line += " -r -F -a '\(rules.joined(separator: " "))'"
            }
        }
        return line + " -d " + option.help.inQuotes
    }
}
