/// What `--help` shows.
enum HelpText {
    static let program = """
        Usage: nomad-driver-exec2 run [option...] [--] command [argument...]
               nomad-driver-exec2 exec [option...] TASK command [argument...]
               nomad-driver-exec2 trace [option...] TASK
               nomad-driver-exec2 check [option...]
               nomad-driver-exec2 tasks [option...]
               nomad-driver-exec2 completion bash|zsh|fish

        The exec2 task driver of the Nomad agent, which starts it as a plugin: put it,
        with nomad-driver-exec2-executor beside it, into the agent's plugin_dir.
        Run from a shell, it provides:

        \(commands)

        Options:
        \(options(topLevelOptions))
        "nomad-driver-exec2 run --help" tells more, and likewise after each command.

        """

    static let run = """
        Usage: nomad-driver-exec2 run [option...] [--] command [argument...]

        Runs a command in the same sandbox as a Nomad task: as a user without rights of
        its own, in process, mount and IPC namespaces of its own and a cgroup with its
        limits. Its root directory has only what is unveiled, and Landlock enforces the
        modes. Its input and output are passed through, and on a terminal it has one of
        its own. It starts in a new directory that it can write to, with local, secrets,
        tmp and alloc in it, which is removed at the end.

        Options:
        \(options(RunOptions.table))
        On a terminal every key is the command's, Ctrl-C included. Signals that are sent
        to "run" go to the command. After SIGINT, SIGTERM, SIGHUP or SIGQUIT it is killed
        when the kill timeout is over, and output that nobody has read by then is lost; a
        second one kills it at once. SIGTSTP stops both. If "run" itself is killed, the
        command gets SIGTERM, and SIGKILL after the kill timeout.

        With --trace, stderr also tells of each path, port, socket and system call that
        the sandbox denies to the command, and of the rule or the option that would allow
        it ("trace --help" says more). With --suggest, the rules that are needed follow.

        Exit status: the command's own; 128+n where signal n ended it; 127 where the
        command is not found, 126 where it cannot be executed; 125 where
        nomad-driver-exec2 itself failed, and then it says why.

        Example:
          nomad-driver-exec2 run --unveil r:/etc/mime.types --unveil r:/srv/www \\
              python3 -m http.server --directory /srv/www

        """

    static let exec = """
        Usage: nomad-driver-exec2 exec [option...] TASK command [argument...]

        Runs a command in a running task, of Nomad's or of "run", as root: in its
        namespaces and its cgroup, as its user, under its unveil rules, with its
        environment. TASK is the task's id or its beginning (the allocation's id), the
        task's name, or the pid of "run"; "tasks" shows what there is. The driver is not
        asked, and need not run.

        Options:
        \(options(ExecOptions.table))
        The command gets stdin. On a terminal every key is its own, Ctrl-C included;
        without one, SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT end it.

        Exit status: the command's own; 128+n where signal n ended it; 127 where the
        command is not found, 126 where it cannot be executed; 125 where
        nomad-driver-exec2 itself failed, and then it says why.

        """

    static let trace = """
        Usage: nomad-driver-exec2 trace [option...] TASK

        Shows what the sandbox of a running task denies to it, as it happens, each thing
        once: paths that are not unveiled or whose rule lacks a mode, ports, sockets, and
        closed system calls; with the process that asked, and the rule, task option or
        plugin option that would allow it. What the permissions of a file deny is said
        too, since no rule helps there. TASK is as for "exec".

        The task runs on, slower by what its system calls cost while they are traced
        (docs/trace.md). Nothing is left when "trace" ends, in whatever way. A process
        that a debugger has is left alone; no other can be debugged meanwhile.

        Options:
        \(options(TraceOptions.table))
        Exit status: 0; 1 if the task does not run, or cannot be traced; 2 for a command
        line that is not understood.

        """

    static let check = """
        Usage: nomad-driver-exec2 check [option...]

        Tells for each thing that the driver needs whether this host has it, and what
        to do where it has not. With --json, a byte of a path that is not UTF-8 is U+FFFD.

        Exit status: 0 if the host meets every requirement, 1 if not, 2 for a command line
        that is not understood.

        Options:
        \(options(CheckCommand.options))
        """

    static let tasks = """
        Usage: nomad-driver-exec2 tasks [option...]

        Shows the tasks of this host, as root: those that run, and those that have ended
        and that Nomad has not removed yet. It only reads, and disturbs neither the agent
        nor the plugin. DRIVER is the plugin process that has the task now; a task runs
        on without one. MEMORY is what the task's cgroup is charged with; on a host that
        does not count that, it is the resident memory of its processes.

        STATE is one of: starting; running; ending, where the exit status is known and
        the task's Executor has not exited, for a moment, or for as long as processes are
        left that SIGKILL does not end; exit:CODE; signal:NUMBER; out-of-memory; lost,
        where the exit status is not known, and --json says why.

        Exit status: 0, also where there is no task; 1 if a directory cannot be read, or
        "tasks" does not run as root; 2 for a command line that is not understood.

        Options:
        \(options(TasksCommand.options))
        """

    static let completion = """
        Usage: nomad-driver-exec2 completion bash|zsh|fish

        Prints what the shell needs to complete the command lines of this program:
          bash  source <(nomad-driver-exec2 completion bash), or as a file into
                /usr/share/bash-completion/completions/nomad-driver-exec2
          zsh   as a file _nomad-driver-exec2 into a directory of $fpath
          fish  as a file into ~/.config/fish/completions/nomad-driver-exec2.fish

        Options:
        \(options(CompletionCommand.options))
        """

    /// The commands with their summaries, in columns.
    private static var commands: String {
        let width = Command.all.map(\.name.count).max() ?? 0
        return Command.all.map { command in
            "  " + command.name + String(repeating: " ", count: width - command.name.count + 2) + command.summary
        }.joined(separator: "\n")
    }

    static let topLevelOptions = [
        CommandOption(name: "version", letter: "V", help: "show the version"),
        CommandOption(name: "help", letter: "h", help: "show this help; after a command, the command's"),
    ]

    /// One line or more for each option: its forms, and what it does from `column` on.
    static func options(_ options: [CommandOption], column: Int = 28, width: Int = 80) -> String {
        var text = ""
        for option in options {
            var forms = "  " + (option.letter.map { "-\($0), " } ?? "    ") + "--" + option.name
            if let value = option.value { forms += " " + value }
            if forms.count > column - 2 {
                text += forms + "\n"
                forms = ""
            }
            for line in lines(of: option.help, width: width - column) {
                text += forms + String(repeating: " ", count: column - forms.count) + line + "\n"
                forms = ""
            }
        }
        return text
    }

    /// Broken at spaces; a word that is too long stands alone.
    private static func lines(of text: String, width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] = last + " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
