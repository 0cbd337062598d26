import CLinux
import EventLoop
import Glibc
import HCLog
import Shared

/// What an Executor that stands by was spawned from: it is good only for a task whose own Executor would
/// be spawned from the same.
struct ExecutorOrigin: Equatable, Sendable {
    let program: String
    /// Which file that was: an upgrade puts another in its place.
    private let file: File
    /// Of the Executors; nil: the Driver's own.
    let cgroup: String?
    /// What its task's root is made from; nil where that is the host's.
    let template: RootTemplates.Template?

    private struct File: Equatable {
        let device: UInt
        let inode: UInt
        let size: Int
        let modified: [Int]
    }

    /// Nil if the program is missing.
    init?(program: String, cgroup: String?, template: RootTemplates.Template? = nil) {
        var facts = stat()
        guard stat(program, &facts) == 0 else { return nil }
        self.program = program
        self.cgroup = cgroup
        self.template = template
        file = File(
            device: UInt(facts.st_dev), inode: UInt(facts.st_ino), size: Int(facts.st_size),
            modified: [facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec, facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec])
    }

    static func == (left: ExecutorOrigin, right: ExecutorOrigin) -> Bool {
        left.program == right.program && left.file == right.file && left.cgroup == right.cgroup
            && left.template === right.template
    }
}

/// One Executor, spawned ahead of its task: the next start hands it the launch request and saves the time
/// of a spawn. `StandbyAttendant` keeps an attendant for the next command in the same way.
///
/// It is made after a start that has succeeded, never before the first: a plugin that only answers
/// questions has none, and only a task tells where Executors live. It waits in read(2), has no timer, and
/// ends with the Driver, whose end closes the pipe that it reads. `StandbyState` has its states.
final class StandbyExecutor: Sendable {
    private struct Ready: ~Copyable {
        let executor: ExecutorProcess.WaitingExecutor
        let origin: ExecutorOrigin
        let watch: Reactor.Watch
    }

    private let state = Mutex(StandbyState<Ready>())
    /// Raised when one was made, and when one that was killed has ended.
    private let changed = ThreadSignal()
    private let reactor: Reactor
    private let log: Logger
    /// For the log.
    private let title: String
    private let ended = Mutex<(@Sendable () -> Void)?>(nil)

    init(title: String = "standby Executor", reactor: Reactor, log: Logger) {
        self.title = title
        self.reactor = reactor
        self.log = log
    }

    /// Has `action` called, on the reactor's thread, whenever one has ended that stood by or was being made.
    func onEnd(_ action: @escaping @Sendable () -> Void) { ended.withLock { $0 = action } }

    /// Hands the packed launch request to the Executor that stands by; nil if none of this origin lives and waits.
    /// - Parameter descriptors: See `WaitingExecutor.begin`.
    func take(_ origin: ExecutorOrigin, request: [UInt8], handing descriptors: [Int32] = []) -> ExecutorProcess? {
        guard let ready = takeReady(for: origin) else { return nil }
        // A dead one that the reactor has not yet heard of, too, is never handed a task.
        guard ready.origin == origin, ready.executor.process.isRunning else {
            end(ready.executor)
            return nil
        }
        do throws(SystemError) {
            try ready.executor.begin(request, handing: descriptors)
            hasLeft()
            return ready.executor.asLaunched()
        } catch {
            log.warn("the \(title) did not take its request: spawning another", ["error": error.text])
            end(ready.executor)
            return nil
        }
    }

    /// Spawns one where none stands by or is being made. It may block its thread for a moment.
    /// - Parameter spawn: Spawns it in an open cgroup, or where this process is (-1).
    func prepare(
        _ origin: ExecutorOrigin, in cgroup: ExecutorCgroup, forTaskIn taskCgroup: String,
        _ spawn: (_ cgroup: Int32) throws(SpawnError) -> ExecutorProcess.WaitingExecutor
    ) {
        guard state.withLock({ $0.prepare() }) else { return }
        do throws(SpawnError) {
            keep(try cgroup.spawn(forTaskIn: taskCgroup, spawn), origin)
        } catch {
            log.warn("cannot spawn a \(title)", ["error": error.text])
            state.withLock { $0.failed(isSpawned: false) }
        }
        changed.raise()
    }

    private func keep(_ executor: consuming ExecutorProcess.WaitingExecutor, _ origin: ExecutorOrigin) {
        let pid = executor.process.pid
        let watch: Reactor.Watch
        do throws(SystemError) {
            watch = try reactor.watch(executor.process.pidfdNumber) { [self] in died(pid) }
        } catch {
            log.warn("cannot spawn a \(title)", ["error": error.text])
            state.withLock { $0.failed(isSpawned: true) }
            end(executor)
            return
        }
        var made: Ready? = Ready(executor: executor, origin: origin, watch: watch)
        let unwanted = state.withLock { state -> Ready? in
            guard let executor = made.take() else { return nil }
            return state.made(executor)
        }
        if let unwanted { discard(unwanted) }
    }

    /// On the reactor's thread. One that has died while it was being made is found here as well: the watch reports the end
    /// again and again until it is removed.
    private func died(_ pid: Int32) {
        let dead = state.withLock { state in state.take { $0.executor.process.pid == pid } }
        guard let dead else { return }
        log.warn("the \(title) ended before it had a request", ["executor_pid": pid])
        discard(dead)
    }

    /// Ends the one that stands by, and the one that is being made. Returns at once.
    func dismiss() {
        if let ready = state.withLock({ $0.dismiss() }) { discard(ready) }
    }

    /// As `dismiss`, at the end of this process: waits up to a second until they have ended, so that the caller can remove
    /// their cgroup. None is made any more.
    func close() {
        let end = exec2_monotonic() + Self.closeNanoseconds
        if let ready = state.withLock({ $0.close() }) { discard(ready) }
        while state.withLock({ $0.leaving > 0 }), case let now = exec2_monotonic(), now < end {
            _ = changed.wait(atMost: end - now)
        }
    }

    private static let closeNanoseconds: UInt64 = 1_000_000_000

    /// One of another origin is taken too, to be ended. One that has not come to its wait yet stays.
    private func takeReady(for origin: ExecutorOrigin) -> Ready? {
        let ready = state.withLock { state in state.take { $0.origin != origin || $0.executor.isReady } }
        guard let ready else { return nil }
        reactor.unwatch(ready.watch, ready.executor.process.pidfdNumber)
        return ready
    }

    private func discard(_ ready: consuming Ready) {
        reactor.unwatch(ready.watch, ready.executor.process.pidfdNumber)
        end(ready.executor)
    }

    /// Ends one that does not stand by any more.
    private func end(_ executor: consuming ExecutorProcess.WaitingExecutor) {
        executor.process.killAndReap(on: reactor) { [self] in
            hasLeft()
            ended.withLock { $0 }?()
        }
    }

    private func hasLeft() {
        state.withLock { $0.left() }
        changed.raise()
    }
}
