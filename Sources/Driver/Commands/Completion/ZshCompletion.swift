/// A function of zsh's completion system for the command and, in it, one call of `_arguments` for each of its commands.
enum ZshCompletion {
    static let script = """
        #compdef nomad-driver-exec2
        # Completion of nomad-driver-exec2 for zsh, by "nomad-driver-exec2 completion zsh".
        _nomad_driver_exec2_rule() {
            if compset -P '*:'; then
                _files
            else
                compadd -S '' -- \(CommandOption.commonRules.joined(separator: " "))
            fi
        }
        _nomad_driver_exec2_task() {
            local -a tasks
            tasks=(${(f)"$($program tasks --quiet \\
                ${opt_args[--state-dir]:+--state-dir=${(Q)opt_args[--state-dir]}} 2>/dev/null)"})
            compadd -- $tasks
        }
        _nomad_driver_exec2() {
            local curcontext=$curcontext state line program=$words[1]
            local -A opt_args
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
            case .program: program
            case .task: "        '(-):task:_nomad_driver_exec2_task'"
            case .programInTask: "        '(-):task:_nomad_driver_exec2_task' \\\n" + program
            }
        return """
                \(command.name))
                    _arguments -S \\
            \(specifications(command.options))
            \(operands)
                    ;;
            """
    }

    private static let program = "        '(-):command: _command_names -e' \\\n        '*::argument: _normal'"

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
        case .directories: "_files -/"
        case .users: "_users"
        case .variables: "_parameters -g \"*export*\""
        case .networkNamespaces: "_files -W /run/netns"
        case .words(let words): "(\(words.joined(separator: " ")))"
        case .rule: "_nomad_driver_exec2_rule"
        }
    }
}
