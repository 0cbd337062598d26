/// One function that offers what may come next.
///
/// The line is looked at as the shell has it up to the cursor, cut at blanks: what readline makes of
/// `r:/etc` depends on COMP_WORDBREAKS.
enum BashCompletion {
    static let script = """
        # Completion of nomad-driver-exec2 for bash, by "nomad-driver-exec2 completion bash".
        _nomad_driver_exec2() {
            local -a words
            local command='' option='' ended='' operands=0 directory='' index word part
            read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
            [[ ${COMP_LINE:0:COMP_POINT} == *[[:blank:]] ]] && words+=('')
            COMPREPLY=()
            for ((index = 1; index < ${#words[@]} - 1; index++)); do
                word=${words[index]}
                if [[ $option ]]; then
                    [[ $option == --state-dir ]] && directory=$word
                    option=''
                elif [[ $command && ( $ended || $word != -* ) ]]; then
                    ended=yes
                    operands=$((operands + 1))
                elif [[ $word == -- ]]; then
                    ended=yes
                elif [[ $word != -* ]]; then
                    command=$word
                    ended=''
                else
                    case $command:$word in
                    \(optionsWithValue)) option=$word ;;
                    *:--state-dir=*) directory=${word#*=} ;;
                    esac
                fi
            done
            word=${words[${#words[@]} - 1]}
            part=$word
            if [[ ! $option && ! $ended && $word == --*=* ]]; then
                option=${word%%=*}
                part=${word#*=}
            fi
            case $command:$option in
        \(values)
            *:-*) return ;;
            esac
            if [[ ! $ended && $word == -* ]]; then
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
            case .directories: ["compopt -o filenames", #"COMPREPLY=($(compgen -d -- "$part"))"#]
            case .users: [#"COMPREPLY=($(compgen -u -- "$part"))"#]
            case .variables: [#"COMPREPLY=($(compgen -e -- "$part"))"#]
            case .networkNamespaces:
                [#"COMPREPLY=($(cd /run/netns 2>/dev/null && compgen -f -- "$part"))"#]
            case .words(let words):
                ["COMPREPLY=($(compgen -W '\(words.joined(separator: " "))' -- \"$part\"))"]
            case .rule:
                [
                    "if [[ $part == *:* ]]; then", "    compopt -o filenames",
                    #"    COMPREPLY=($(compgen -f -- "${part#*:}"))"#,
                    // Where a colon does not part words the letters before it belong to the reply.
                    #"    [[ $COMP_WORDBREAKS == *:* ]] || COMPREPLY=("${COMPREPLY[@]/#/${part%%:*}:}")"#,
                    "else", "    compopt -o nospace",
                    "    COMPREPLY=($(compgen -W '\(CommandOption.commonRules.joined(separator: " "))' -- \"$part\"))",
                    "fi",
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
                        \(program(after: 0)) ;;
                """
            case .task:
                """
                    \(command.name))
                \(tasks)
                        ;;
                """
            case .programInTask:
                """
                    \(command.name))
                \(tasks)
                        [[ $operands -eq 2 && ${words[${#words[@]} - 2]} == -- ]] && operands=1
                        \(program(after: 1)) ;;
                """
            }
        }.joined(separator: "\n")
    }

    /// Names of tasks are others' choice: nothing in them is expanded, and each is offered in quotes.
    private static let tasks = """
                if [[ $operands -eq 0 ]]; then
                    while IFS= read -r part; do
                        printf -v part %q "$part"
                        [[ $part == "$word"* ]] && COMPREPLY+=("$part")
                    done < <("${words[0]}" tasks --quiet ${directory:+"--state-dir=$directory"} 2>/dev/null)
                    return
                fi
        """

    /// A command of the host's behind this many operands, and files behind it.
    private static func program(after count: Int) -> String {
        """
        compopt -o filenames
                if [[ $operands -eq \(count) ]]; then
                    COMPREPLY=($(compgen -c -- "$word"))
                else
                    COMPREPLY=($(compgen -f -- "$word"))
                fi
        """
    }
}
