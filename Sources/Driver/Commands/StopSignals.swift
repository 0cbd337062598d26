import CLinux
import EventLoop
import Glibc
import Shared

/// The signals by which a person or a supervisor ends `exec`, as descriptors that are open until the
/// process ends.
///
/// One that was ignored when the tool was started stays so: nohup(1) and the background jobs of shells
/// mean that.
struct StopSignals: Sendable {
    private let sources: [(number: Int32, descriptor: Int32)]

    /// Blocks the signals; to be called on the first thread, before others exist, which inherit that.
    init() throws(SystemError) {
        var sources: [(Int32, Int32)] = []
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] where !Self.isIgnored(number) {
            let descriptor = exec2_signalfd(number)
            guard descriptor >= 0 else { throw SystemError("watch for", "signal \(number)") }
            sources.append((number, descriptor))
        }
        self.sources = sources
    }

    /// Whether this process ignores a signal.
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        // SIG_IGN is no function but the number 1, cast (signal.h).
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self) == 1
    }

    /// Calls `action` on the reactor's thread with the number of each signal that arrives.
    func watch(on reactor: Reactor, _ action: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        for (number, descriptor) in sources {
            _ = try reactor.watch(descriptor) {
                // struct signalfd_siginfo, 128 bytes each (signalfd(2)).
                withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { drop in
                    if retrying({ read(descriptor, drop.baseAddress, drop.count) }) > 0 { action(number) }
                }
            }
        }
    }
}
