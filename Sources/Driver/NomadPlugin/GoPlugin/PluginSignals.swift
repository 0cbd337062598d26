import EventLoop
import Glibc
import Shared

/// The plugin's signals.
///
/// - SIGINT is ignored: Ctrl-C at an agent in the foreground reaches the whole process group, and the
///   agent then ends its plugins itself. SIGHUP too: for the agent it means "read your files again".
/// - SIGPIPE is ignored: an agent that died must not take the plugin with it.
/// - SIGTERM ends the plugin in good order. It is blocked in every thread and taken by one thread in
///   sigwait(3): a handler could do next to nothing, and a signalfd would need a poll loop, which
///   gRPC keeps to itself.
///
/// Ignored and blocked signals are inherited: whoever starts a process resets both.
enum PluginSignals {
    /// To be called on the first thread, before gRPC or Swift start others, which inherit its mask.
    static func prepare() {
        for number in [SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        var set = terminationSignals
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `action` on a thread of its own when SIGTERM arrives, every time.
    static func onTermination(_ action: @escaping @Sendable () -> Void) throws(PluginError) {
        do throws(SystemError) {
            try DetachedThread.start("the thread that waits for SIGTERM", stackSize: 256 * 1024) {
                var set = PluginSignals.terminationSignals
                var number: Int32 = 0
                while true {
                    if sigwait(&set, &number) == 0 { action() }
                }
            }
        } catch {
            throw PluginError("cannot start the thread that waits for SIGTERM", error.errno.rawValue)
        }
    }

    private static var terminationSignals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        return set
    }
}
