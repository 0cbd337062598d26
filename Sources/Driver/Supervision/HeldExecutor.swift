import CLinux
import EventLoop
import Glibc
import Shared

/// The Executor of a task as this Driver holds it: the way to talk to it, and a pidfd, by which it cannot be
/// taken for another process.
final class HeldExecutor: Sendable {
    let link: ExecutorLink
    let pidfd: OwnedDescriptor
    private let launchPipe: Mutex<OwnedDescriptor?>
    private let pid: Int32
    private let watches = Mutex<(events: Reactor.Watch, pidfd: Reactor.Watch)?>(nil)

    init(_ process: consuming ExecutorProcess, link: ExecutorLink) {
        self.link = link
        pid = process.pid
        pidfd = process.pidfd
        launchPipe = Mutex(process.launchPipe)
    }

    /// Calls `said` whenever there is something in the events pipe, and `ended` when the Executor is gone, on the
    /// reactor's thread; until `unwatch`.
    func watch(
        on reactor: Reactor, said: @escaping @Sendable () -> Void, ended: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        let events: Reactor.Watch
        do throws(SystemError) {
            events = try reactor.watch(link.eventsDescriptor, said)
        } catch {
            throw SystemError("watch the events pipe of", "Executor \(pid)", error.errno)
        }
        do throws(SystemError) {
            let gone = try reactor.watch(pidfd.number, ended)
            // Level-triggered: an earlier exit fires again.
            watches.withLock { $0 = (events, gone) }
        } catch {
            reactor.unwatch(events, link.eventsDescriptor)
            throw SystemError("watch", "Executor \(pid)", error.errno)
        }
    }

    /// Ends both watches.
    func unwatch(on reactor: Reactor) {
        let watches = self.watches.withLock { watches in
            defer { watches = nil }
            return watches
        }
        guard let watches else { return }
        reactor.unwatch(watches.events, link.eventsDescriptor)
        reactor.unwatch(watches.pidfd, pidfd.number)
    }

    /// The launch is over: nothing waits for it any more.
    func launchIsOver() { launchPipe.withLock { $0 = nil } }

    /// SIGKILL, and with the Executor everything in its task's PID namespace.
    func kill() { _ = exec2_pidfd_send_signal(pidfd.number, SIGKILL) }
}
