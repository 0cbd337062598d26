import CLinux
import EventLoop
import Glibc
import Shared

/// Reaps a child that has ended, or was sent SIGKILL, and never waits for it.
///
/// A child that is traced is handed over by the kernel only once its tracer lets go of it (ptrace(2)), so that
/// waitpid(2) could block its thread without end. The pidfd is watched instead: the kernel wakes its watchers when the
/// child ends, and again when the tracer lets go of the zombie.
package final class ChildReaper: Sendable {
    private let pidfd: Int32
    /// Keeps the pidfd open.
    private let owner: any AnyObject & Sendable
    private let reactor: Reactor
    private let watch = Mutex<Reactor.Watch?>(nil)
    private let ended = OneShot<Void>()
    private let whenEnded: @Sendable () -> Void

    private static let retryNanoseconds: UInt64 = 1_000_000_000

    private init(
        _ pidfd: Int32, _ owner: any AnyObject & Sendable, _ reactor: Reactor,
        _ whenEnded: @escaping @Sendable () -> Void
    ) {
        self.pidfd = pidfd
        self.owner = owner
        self.reactor = reactor
        self.whenEnded = whenEnded
    }

    /// Reaps a child now or, where the kernel does not hand it over yet, as soon as it does.
    ///
    /// - Parameters:
    ///   - owner: What keeps the pidfd open; it is held until the child is reaped.
    ///   - whenEnded: Called once, on any thread, when the child has ended, even if a tracer still holds it.
    /// - Returns: How the child ended; `unknown` where that is not known yet, or where it is no child of this process.
    @discardableResult
    package static func reap(
        _ pidfd: Int32, heldBy owner: any AnyObject & Sendable, on reactor: Reactor,
        whenEnded: @escaping @Sendable () -> Void = {}
    ) -> ExecutorTermination {
        switch ExecutorTermination.reap(pidfd) {
        case .reaped(let termination):
            whenEnded()
            return termination
        case .notAChild:
            whenEnded()
            return .unknown
        case .notYet:
            ChildReaper(pidfd, owner, reactor, whenEnded).begin()
            return .unknown
        }
    }

    /// As above, with a pidfd that is closed after that; the child is sent SIGKILL first.
    package static func killAndReap(
        _ pidfd: consuming OwnedDescriptor, on reactor: Reactor, whenEnded: @escaping @Sendable () -> Void = {}
    ) {
        let owner = Owner(pidfd)
        _ = exec2_pidfd_send_signal(owner.pidfd.number, SIGKILL)
        reap(owner.pidfd.number, heldBy: owner, on: reactor, whenEnded: whenEnded)
    }

    private final class Owner: Sendable {
        let pidfd: OwnedDescriptor
        init(_ pidfd: consuming OwnedDescriptor) { self.pidfd = pidfd }
    }

    private func begin() {
        do throws(SystemError) {
            // Edge-triggered: a zombie that a tracer holds makes the pidfd readable all the time.
            try watch.withLock { (watch) throws(SystemError) in
                watch = try reactor.watchChanges(pidfd) { [self] in look() }
            }
        } catch {
            _ = reactor.after(Self.retryNanoseconds) { [self] in begin() }
        }
    }

    private func look() {
        if ended.set(()) { whenEnded() }
        if case .notYet = ExecutorTermination.reap(pidfd) { return }
        let watch = self.watch.withLock { watch in
            defer { watch = nil }
            return watch
        }
        if let watch { reactor.unwatch(watch, pidfd) }
    }
}
