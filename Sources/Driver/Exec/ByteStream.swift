import CLinux
import EventLoop
import Glibc
import Shared

/// The Driver's end of a pipe or terminal of a command's: reads and writes that wait without a thread.
///
/// One Swift task may read and another write at a time. Nothing is held but the piece at hand: who takes
/// slowly slows the command, and the other way round.
package final class ByteStream: Sendable {
    /// The largest piece that is read at once, in bytes.
    package static let pieceSize = 32 << 10
    /// What may still be read once the stream is to end: no pipe or terminal holds more (fcntl(2),
    /// F_SETPIPE_SZ, unprivileged).
    private static let maximumRest = 1 << 20

    private struct State: ~Copyable {
        var descriptor: OwnedDescriptor?
        var watch: Reactor.Watch?
        /// Set when the command is gone: what may still be read, in bytes.
        var rest: Int?
    }

    private let state: Mutex<State>
    private let name: String
    private let isTerminal: Bool
    private let reactor: Reactor
    private let readable = Edge()
    private let writable = Edge()

    /// Takes over a descriptor.
    /// - Parameter name: What errors call it.
    init(
        _ descriptor: consuming OwnedDescriptor, _ name: String, isTerminal: Bool = false, reactor: Reactor
    ) throws(SystemError) {
        let number = descriptor.number
        state = Mutex(State(descriptor: consume descriptor, watch: nil, rest: nil))
        self.name = name
        self.isTerminal = isTerminal
        self.reactor = reactor
        guard exec2_set_nonblocking(number) == 0 else { throw SystemError("make non-blocking", name) }
        let watch = try reactor.watchChanges(number) { [readable, writable] in
            readable.raise()
            writable.raise()
        }
        state.withLock { $0.watch = watch }
    }

    deinit { close() }

    /// Closes the descriptor, for the other side to see.
    func close() {
        state.withLock { state in
            if let watch = state.watch, let number = state.descriptor?.number { reactor.unwatch(watch, number) }
            state.watch = nil
            state.descriptor = nil
        }
        readable.raise()
        writable.raise()
    }

    /// Makes `read` come to an end after what is there now.
    func finish() {
        state.withLock { state in
            if state.rest == nil { state.rest = Self.maximumRest }
        }
        readable.raise()
    }

    /// Sets the terminal's size.
    func resize(_ size: TerminalSize) {
        state.withLock { state in
            guard let number = state.descriptor?.number else { return }
            // A stream that is no terminal any more has no size to set.
            _ = exec2_terminal_resize(number, size.rows, size.columns)
        }
    }

    private enum Attempt {
        case bytes([UInt8])
        case wait, end
        case failed(Errno)
    }

    /// The next piece; nil at the end, or when the Swift task is cancelled.
    func read() async throws(SystemError) -> [UInt8]? {
        while !Task.isCancelled {
            switch state.withLock({ Self.attemptRead(&$0, isTerminal) }) {
            case .bytes(let bytes): return bytes
            case .end: return nil
            case .wait: await readable.wait()
            case .failed(let errno): throw SystemError("read", name, errno)
            }
        }
        return nil
    }

    private static func attemptRead(_ state: inout State, _ isTerminal: Bool) -> Attempt {
        guard let number = state.descriptor?.number else { return .end }
        let most = min(pieceSize, state.rest ?? pieceSize)
        guard most > 0 else { return .end }
        var failure: Errno?
        let bytes = [UInt8](unsafeUninitializedCapacity: most) { buffer, count in
            let found = retrying { Glibc.read(number, buffer.baseAddress, most) }
            if found < 0 { failure = .last }
            count = max(0, found)
        }
        if !bytes.isEmpty {
            state.rest = state.rest.map { $0 - bytes.count }
            return .bytes(bytes)
        }
        switch failure {
        case nil: return .end
        case .wouldBlock: return state.rest == nil ? .wait : .end
        // No process has the terminal open any more.
        case Errno(rawValue: EIO) where isTerminal: return .end
        case let errno?: return .failed(errno)
        }
    }

    /// How a write ended.
    enum Written {
        case all
        /// Nobody reads any more.
        case broken
        case cancelled
    }

    /// Writes all of it, however long the reader takes.
    func write(_ bytes: [UInt8]) async throws(SystemError) -> Written {
        var written = 0
        while written < bytes.count {
            if Task.isCancelled { return .cancelled }
            let result = state.withLock { state -> Result<Int, SystemError>? in
                guard let number = state.descriptor?.number else { return nil }
                let count = bytes[written...].withUnsafeBytes { rest in
                    retrying { Glibc.write(number, rest.baseAddress, rest.count) }
                }
                return count >= 0 ? .success(count) : .failure(SystemError("write to", name))
            }
            switch result {
            case .success(let count): written += count
            case .failure(let error) where error.errno == .wouldBlock: await writable.wait()
            case .failure(let error) where error.errno != .brokenPipe: throw error
            case .failure, nil: return .broken
            }
        }
        return .all
    }
}
