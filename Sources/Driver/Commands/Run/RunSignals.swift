import CLinux
import EventLoop
import Glibc
import Shared

/// Takes the signals of a run to the try that is under way. Between two tries they wait for the next.
final class RunSignalReceiver: Sendable {
    private struct State {
        var action: (@Sendable (Int32) -> Void)?
        var waiting: [Int32] = []
    }

    private let state = Mutex(State())

    func deliver(_ signal: Int32) {
        state.withLock { state in
            if let action = state.action { return action(signal) }
            // Either ends what the other has begun (signal(7)).
            if signal == SIGCONT { state.waiting.removeAll { $0 == SIGTSTP } }
            if signal == SIGTSTP { state.waiting.removeAll { $0 == SIGCONT } }
            state.waiting.append(signal)
        }
    }

    /// Whether one of those that wait asks for the end.
    var isStopWaiting: Bool { state.withLock { $0.waiting.contains { RunSignals.stopping.contains($0) } } }

    func set(_ action: @escaping @Sendable (Int32) -> Void) {
        state.withLock { state in
            state.action = action
            state.waiting.forEach(action)
            state.waiting = []
        }
    }

    func clear() { state.withLock { $0.action = nil } }
}

/// The signals that `run` passes on to its command: all that a process can catch, but for those of its own.
///
/// One that was ignored when the tool was started stays so: nohup(1) and the background jobs of shells mean that.
/// The kernel's own signals for a fault of this process (SIGSEGV and the like) end it although they are blocked.
struct RunSignals: Sendable {
    /// After these the command is killed when its time is up.
    static let stopping: Set<Int32> = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

    /// SIGKILL and SIGSTOP cannot be caught. SIGCHLD and SIGPIPE are about this process's own children and pipes,
    /// SIGTTIN and SIGTTOU about its own use of its terminal.
    static let own: Set<Int32> = [SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGTTIN, SIGTTOU]

    private let descriptor: Int32

    /// Blocks the signals; to be called on the first thread, before others exist, which inherit that.
    init() throws(SystemError) {
        var set: UInt64 = 0
        for number in 1...Int32(64) where !Self.own.contains(number) && !StopSignals.isIgnored(number) {
            set |= 1 << UInt64(number - 1)
        }
        descriptor = exec2_signalfd_of(set)
        guard descriptor >= 0 else { throw SystemError("watch for", "signals") }
    }

    /// Calls `action` on the reactor's thread with the number of each signal, in the order in which they arrive.
    func watch(on reactor: Reactor, _ action: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        _ = try reactor.watch(descriptor) { [descriptor] in
            // struct signalfd_siginfo, 128 bytes each, the number first (signalfd(2)).
            withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer in
                while true {
                    let count = retrying { read(descriptor, buffer.baseAddress, buffer.count) }
                    guard count > 0 else { return }
                    for offset in stride(from: 0, to: count, by: 128) {
                        action(Int32(bitPattern: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
                    }
                }
            }
        }
    }
}
