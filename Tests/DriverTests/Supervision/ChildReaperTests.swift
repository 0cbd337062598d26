import CLinux
import EventLoop
import Glibc
import Shared
import Testing

@testable import Supervision

@Suite(.hanging(after: 1)) struct ChildReaperTests {
    private final class Child: Sendable {
        let pid: pid_t
        let pidfd: OwnedDescriptor

        init(_ words: String...) throws {
            var pid: pid_t = 0
            var arguments = words.map { strdup($0) } + [nil]
            defer { for argument in arguments { free(argument) } }
            try #require(posix_spawn(&pid, words[0], nil, nil, &arguments, nil) == 0)
            self.pid = pid
            pidfd = OwnedDescriptor(owning: exec2_pidfd_open(pid))
        }

        /// Waits until it has ended, and leaves it to be reaped.
        func awaitEnd() {
            var wait = pollfd(fd: pidfd.number, events: Int16(POLLIN), revents: 0)
            _ = retrying { poll(&wait, 1, -1) }
        }
    }

    @Test func whatTheKernelAnswers() throws {
        let child = try Child("/bin/sleep", "100")
        #expect(ExecutorTermination.reap(child.pidfd.number) == .notYet)
        kill(child.pid, SIGKILL)
        child.awaitEnd()
        #expect(ExecutorTermination.reap(child.pidfd.number) == .reaped(.killed(signal: SIGKILL)))
        #expect(ExecutorTermination.reap(child.pidfd.number) == .notAChild)
        let other = try Child("/bin/sh", "-c", "exit 4")
        other.awaitEnd()
        #expect(ExecutorTermination.reap(other.pidfd.number) == .reaped(.exited(4)))
    }

    @Test func whatHasEndedIsReapedAtOnce() throws {
        let child = try Child("/bin/sh", "-c", "exit 4")
        child.awaitEnd()
        #expect(ChildReaper.reap(child.pidfd.number, heldBy: child, on: try Reactor()) == .exited(4))
    }

    /// A call about a process that runs does not wait; it is reaped when it ends.
    @Test func whatRunsIsReapedLater() async throws {
        let child = try Child("/bin/sleep", "100")
        let ended = OneShot<Void>()
        let told = ChildReaper.reap(child.pidfd.number, heldBy: child, on: try Reactor()) { ended.set(()) }
        #expect(told == .unknown)
        #expect(ended.current == nil)
        kill(child.pid, SIGKILL)
        _ = await ended.wait()
        while ExecutorTermination.reap(child.pidfd.number) != .notAChild { await Task.yield() }
    }
}
