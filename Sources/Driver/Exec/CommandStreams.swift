import CLinux
import EventLoop
import Glibc
import Shared
import Supervision

/// A terminal's size, in characters.
package struct TerminalSize: Equatable, Sendable {
    package let rows: UInt16
    package let columns: UInt16

    package init(rows: UInt16, columns: UInt16) {
        self.rows = rows
        self.columns = columns
    }
}

/// The Driver's ends of them.
package struct CommandStreams: Sendable {
    /// How the command is connected.
    package enum Kind: Sendable {
        /// Two pipes, and /dev/null as stdin.
        case outputs
        /// Three pipes.
        case pipes
        /// A pseudoterminal of that size, which carries all.
        case terminal(TerminalSize?)
    }

    let kind: Kind
    /// Nil where the command has none.
    let stdin: ByteStream?
    let stdout: ByteStream
    /// Nil for a terminal.
    let stderr: ByteStream?

    /// Sets the terminal's size, which tells the command (SIGWINCH). Without a terminal nothing is set.
    package func resize(_ size: TerminalSize) {
        if case .terminal = kind { stdout.resize(size) }
    }
}

/// The streams of a command with the command's own ends, which are to be closed once it has them.
struct CommandConnection: ~Copyable {
    let streams: CommandStreams
    let stdin, stdout, stderr: OwnedDescriptor

    /// Makes both ends.
    ///
    /// - Parameters:
    ///   - owner: The command's user, whose the pipes or the terminal become, so that the command can
    ///   open them again by /dev/stdout and the like.
    ///   - terminals: The devpts file system of the task's own; nil: the host's.
    init(
        _ kind: CommandStreams.Kind, owner: uid_t, terminals: Int32? = nil, reactor: Reactor
    ) throws(SystemError) {
        switch kind {
        case .terminal(let size):
            var sides: [Int32] = [-1, -1]
            guard exec2_terminal(&sides, terminals ?? -1) == 0 else {
                throw SystemError("make", "a pseudoterminal (/dev/ptmx)")
            }
            let holder = OwnedDescriptor(owning: sides[0])
            let session = try ExecutorProcess.aboveStandard(OwnedDescriptor(owning: sides[1]))
            guard fchown(session.number, owner, gid_t.max) == 0, fchmod(session.number, 0o600) == 0 else {
                throw SystemError("change the owner of", "a pseudoterminal")
            }
            let stdout = try Self.copy(session)
            let stderr = try Self.copy(session)
            let stream = try ByteStream(holder, "the command's terminal", isTerminal: true, reactor: reactor)
            if let size { stream.resize(size) }
            streams = CommandStreams(kind: kind, stdin: stream, stdout: stream, stderr: nil)
            self.stdin = session
            self.stdout = stdout
            self.stderr = stderr
        case .outputs:
            let null = try ExecutorProcess.aboveStandard(NullDevice.open())
            let output = try Self.pipe(owner)
            let error = try Self.pipe(owner)
            streams = CommandStreams(
                kind: kind, stdin: nil,
                stdout: try ByteStream(output.reading, "the command's stdout", reactor: reactor),
                stderr: try ByteStream(error.reading, "the command's stderr", reactor: reactor))
            stdin = null
            stdout = output.writing
            stderr = error.writing
        case .pipes:
            let input = try Self.pipe(owner)
            let output = try Self.pipe(owner)
            let error = try Self.pipe(owner)
            streams = CommandStreams(
                kind: kind, stdin: try ByteStream(input.writing, "the command's stdin", reactor: reactor),
                stdout: try ByteStream(output.reading, "the command's stdout", reactor: reactor),
                stderr: try ByteStream(error.reading, "the command's stderr", reactor: reactor))
            stdin = input.reading
            stdout = output.writing
            stderr = error.writing
        }
    }

    private static func pipe(_ owner: uid_t) throws(SystemError) -> PipeEnds {
        let ends = try PipeEnds()
        guard fchown(ends.reading.number, owner, gid_t.max) == 0 else {
            throw SystemError("change the owner of", "a pipe")
        }
        return ends
    }

    private static func copy(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        let number = exec2_duplicate(descriptor.number, 16)
        guard number >= 0 else { throw SystemError("duplicate", "a descriptor") }
        return OwnedDescriptor(owning: number)
    }
}
