/// One command of the tool, as the help, the manual page and the shells' completions know it.
struct Command: Sendable {
    /// What follows the options.
    enum Operands: Sendable {
        case none
        /// A command of the host's with its own arguments.
        case program
        /// A task that runs, and then a command with its arguments.
        case programInTask
        /// A task that runs.
        case task
        case oneOf([String])
    }

    let name: String
    /// For the help's list.
    let summary: String
    let options: [CommandOption]
    var operands = Operands.none

    /// Every command, in the order of the help.
    static let all = [
        Command(
            name: "run", summary: "run a command in the sandbox that a task has", options: RunOptions.table,
            operands: .program),
        Command(
            name: "exec", summary: "run a command in a running task", options: ExecOptions.table,
            operands: .programInTask),
        Command(
            name: "trace", summary: "show what a running task is denied, and what would allow it",
            options: TraceOptions.table, operands: .task),
        Command(
            name: "check", summary: "check whether this host meets the requirements of the driver",
            options: CheckCommand.options),
        Command(name: "tasks", summary: "show the tasks of this host", options: TasksCommand.options),
        Command(
            name: "completion", summary: "print the completion for a shell", options: CompletionCommand.options,
            operands: .oneOf(CompletionCommand.Shell.allCases.map(\.rawValue))),
    ]

    /// "run, check, tasks and completion".
    static var list: String {
        let names = all.map(\.name)
        return names.dropLast().joined(separator: ", ") + " and " + (names.last ?? "")
    }
}
