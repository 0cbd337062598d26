import CLinux
import EventLoop
import Exec
import Glibc
import Shared

/// The terminal that the tool was started on, while a command in a task has one of its own: every key goes
/// there, Ctrl-C included.
final class OwnTerminal: Sendable {
    private struct State {
        /// Nil where stdin is no terminal.
        var before: termios?
        var isTaken = false
    }

    private let state: Mutex<State>

    /// Takes the terminal of stdin, if there is one.
    init() {
        var attributes = termios()
        state = Mutex(State(before: tcgetattr(STDIN_FILENO, &attributes) == 0 ? attributes : nil))
        makeRaw()
    }

    /// Takes it again after `restore`.
    func makeRaw() {
        state.withLock { state in
            guard var attributes = state.before, !state.isTaken else { return }
            cfmakeraw(&attributes)
            // In the background this stops the process until it is in the foreground (SIGTTOU).
            state.isTaken = tcsetattr(STDIN_FILENO, TCSANOW, &attributes) == 0
        }
    }

    /// Makes it what it was. Whoever reads its output is not waited for.
    func restore() {
        state.withLock { state in
            guard var attributes = state.before, state.isTaken else { return }
            state.isTaken = false
            // In the background the terminal is another's, who has set it as it is.
            let foreground = tcgetpgrp(STDIN_FILENO)
            if foreground > 0 && foreground != getpgrp() { return }
            tcsetattr(STDIN_FILENO, TCSANOW, &attributes)
        }
    }

    /// Its size; nil where neither stdin nor stdout is a terminal.
    static var size: TerminalSize? {
        for stream in [STDOUT_FILENO, STDIN_FILENO] {
            var rows: UInt16 = 0
            var columns: UInt16 = 0
            if exec2_terminal_size(stream, &rows, &columns) == 0 { return TerminalSize(rows: rows, columns: columns) }
        }
        return nil
    }
}

/// The tool's stdin, read without a thread that waits, and without making it non-blocking for those who
/// share it.
final class OwnInput: Sendable {
    private let readable = Edge()
    private let watch: Reactor.Watch?
    private let reactor: Reactor

    init(reactor: Reactor) {
        self.reactor = reactor
        // Refused for files (EPERM, epoll_ctl(2)), which are always readable.
        watch = try? reactor.watchChanges(STDIN_FILENO) { [readable] in readable.raise() }
    }

    deinit {
        if let watch { reactor.unwatch(watch, STDIN_FILENO) }
    }

    /// The next piece; nil at the end, or when the Swift task is cancelled.
    func read() async -> [UInt8]? {
        while !Task.isCancelled {
            var wait = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if watch == nil || retrying({ poll(&wait, 1, 0) }) != 0 {
                // A file may be on a file system that does not answer, and another reader may have been faster.
                let piece = await BlockingPool.shared.result(of: Self.readPiece)
                return piece.flatMap { $0.isEmpty ? nil : $0 }
            }
            await readable.wait()
        }
        return nil
    }

    private static func readPiece() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: ByteStream.pieceSize) { buffer, count in
            count = max(0, retrying { Glibc.read(STDIN_FILENO, buffer.baseAddress, buffer.count) })
        }
    }
}
