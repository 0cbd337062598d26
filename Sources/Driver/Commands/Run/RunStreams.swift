import CLinux
import Exec
import Glibc
import Planning
import Shared
import Supervision

/// How a run's command is connected: a pipe to its stdin and the log pipes from its stdout and stderr, or one
/// terminal for all three.
final class RunStreams: Sendable {
    let hasTerminal: Bool
    /// The command's stdin, for its start: the pipe's reading end, or the terminal.
    let stdin: Int32
    /// The file system of the command's terminal, for its start: that of its root, where so the terminal has a name.
    var terminals: Int32? { fileSystem.number < 0 ? nil : fileSystem.number }
    private struct State: ~Copyable {
        /// The descriptor whose number is `stdin`. That of a pipe is closed once the command has it, so that the copy
        /// of the input notices when the pipe has no reader any more. That of a terminal is kept: the kernel hangs up a
        /// terminal that no process has open.
        var commandSide: OwnedDescriptor?
        /// Where the input goes, until it is copied there.
        var inputSide: OwnedDescriptor?
        var input: InputCopy?
        var outputs: [OutputCopy] = []
        /// The tool's own terminal while the command has one.
        var ownTerminal: OwnTerminal?
    }

    private let state: Mutex<State>
    /// The side of the command's terminal that the tool holds; number −1 if the command has no terminal.
    private let holder: OwnedDescriptor
    private let fileSystem: OwnedDescriptor
    private let onFailure: @Sendable (Errno) -> Void

    /// Makes both sides, and begins to copy the output from the pipes.
    /// - Parameters:
    ///   - user: The command's user, whose the pipe or the terminal becomes, so that /dev/stdin can be opened.
    ///   - onFailure: Called once for each stream of the tool's that takes no more.
    init(
        terminal: Bool, user: TaskUser, _ directories: RunDirectories, onFailure: @escaping @Sendable (Errno) -> Void
    ) throws(SystemError) {
        hasTerminal = terminal
        self.onFailure = onFailure
        if terminal {
            var sides: [Int32] = [-1, -1]
            let fileSystem = try Self.terminals()
            guard exec2_terminal(&sides, fileSystem.number) == 0 else {
                throw SystemError("make", "a pseudoterminal (ptmx)")
            }
            let holder = OwnedDescriptor(owning: sides[0])
            let command = try ExecutorProcess.aboveStandard(OwnedDescriptor(owning: sides[1]))
            guard fchown(command.number, user.uid, gid_t.max) == 0, fchmod(command.number, 0o600) == 0 else {
                throw SystemError("change the owner of", "a pseudoterminal")
            }
            if let size = OwnTerminal.size { _ = exec2_terminal_resize(holder.number, size.rows, size.columns) }
            let input = try Self.copy(holder)
            self.holder = holder
            self.fileSystem = fileSystem
            stdin = command.number
            state = Mutex(State(commandSide: command, inputSide: input))
        } else {
            let pipe = try PipeEnds()
            guard fchown(pipe.reading.number, user.uid, gid_t.max) == 0 else {
                throw SystemError("change the owner of", "a pipe")
            }
            guard exec2_set_nonblocking(pipe.writing.number) == 0 else {
                throw SystemError("make non-blocking", "a pipe")
            }
            let outputs = try [(directories.stdoutPipe, STDOUT_FILENO), (directories.stderrPipe, STDERR_FILENO)].map {
                (path, stream) throws(SystemError) in try OutputCopy(path, to: stream, onFailure: onFailure)
            }
            let command = try Self.copy(pipe.reading)
            let input = try Self.copy(pipe.writing)
            holder = OwnedDescriptor(owning: -1)
            fileSystem = OwnedDescriptor(owning: -1)
            stdin = command.number
            state = Mutex(State(commandSide: command, inputSide: input, outputs: outputs))
        }
    }

    /// The command has its side, and gets its input from now on.
    func begin() throws(SystemError) {
        try state.withLock { (state) throws(SystemError) in
            guard let input = state.inputSide.take() else { return }
            if hasTerminal {
                // Before any output: who has seen the command's prompt types to the command.
                state.ownTerminal = OwnTerminal()
                state.outputs = [try OutputCopy(Self.copy(holder), to: STDOUT_FILENO, onFailure: onFailure)]
                state.input = try InputCopy(to: input, isTerminal: true, reader: OwnedDescriptor(owning: -1))
            } else {
                let command = state.commandSide.take() ?? OwnedDescriptor(owning: -1)
                let reader = InputCopy.isFile ? command : OwnedDescriptor(owning: -1)
                state.input = try InputCopy(to: input, isTerminal: false, reader: reader)
            }
        }
    }

    /// The command is gone: ends the input, waits until all output is copied, and makes the terminal what it was.
    func finish() async {
        let input = state.withLock { $0.input }
        await input?.finish()
        for output in outputs { await output.finish() }
        restore()
    }

    /// The copies of the command's output.
    var outputs: [OutputCopy] { state.withLock { $0.outputs } }

    /// Makes the tool's own terminal what it was.
    func restore() { state.withLock { $0.ownTerminal?.restore() } }

    /// Takes the tool's own terminal again.
    func takeTerminal() { state.withLock { $0.ownTerminal?.makeRaw() } }

    /// Gives the command's terminal the size of the tool's.
    func resize() {
        guard hasTerminal, let size = OwnTerminal.size else { return }
        // One that is no terminal any more has no size to set.
        _ = exec2_terminal_resize(holder.number, size.rows, size.columns)
    }

    /// A devpts file system that is mounted nowhere yet.
    private static func terminals() throws(SystemError) -> OwnedDescriptor {
        let number = exec2_new_terminals()
        guard number >= 0 else { throw SystemError("make", "a file system for terminals (devpts)") }
        return try ExecutorProcess.aboveStandard(OwnedDescriptor(owning: number))
    }

    private static func copy(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        let number = exec2_duplicate(descriptor.number, 16)
        guard number >= 0 else { throw SystemError("duplicate", "a descriptor") }
        return OwnedDescriptor(owning: number)
    }
}
