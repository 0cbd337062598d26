import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared

/// How a launch went.
enum LaunchOutcome: Sendable {
    case started(StartedTask)
    case failed(stage: UInt32, Errno, subject: String)
    /// The Executor ended without a word.
    case executorGone(ExecutorTermination)
}

/// One task as the Driver knows it: its directory, its Executor, and what that has told. The truth of
/// the task lives with the Executor and in the directory; this can be made anew from them.
package final class SupervisedTask: Sendable {
    package let id: String
    /// The task's name in its job.
    package let name: String
    let directory: TaskStateDirectory
    /// The Executor, as the Driver's own PID namespace numbers it.
    package let executorPid: Int32
    /// See `ExecutorProcess`.
    let executorStartTime: UInt64
    /// Whether the Executor was there before the task.
    let usedStandby: Bool
    /// Nil where the task had ended before this Driver came.
    private let supervisor: HeldExecutor?
    /// What the handle says of a task that an earlier Driver started; nil for one of this Driver's.
    private let recovered: StartedTask?
    package let cgroup: String
    private let reactor: Reactor
    private let events: TaskEventQueue
    private let log: Logger
    package let claims = HostInterest()
    /// Events of a task of an earlier Driver's from before the host waited for it: in the course of a recovery the
    /// host has nobody yet to take them. Nil: nothing is held back.
    private let heldBack: Mutex<[TaskEvent]?>
    private let claimedOnDisk = OneShot<Void>()
    private let removal = Mutex<Task<SystemError?, Never>?>(nil)

    /// Set once, in this order.
    let launched = OneShot<LaunchOutcome>()
    package let ended = OneShot<TaskEnd>()
    let executorGone = OneShot<Void>()

    init(
        id: String, name: String, directory: TaskStateDirectory, executor: consuming ExecutorProcess,
        usedStandby: Bool = false,
        link: ExecutorLink, recovered: StartedTask? = nil, cgroup: String, reactor: Reactor, events: TaskEventQueue,
        log: Logger
    ) {
        self.id = id
        self.name = name
        self.directory = directory
        self.executorPid = executor.pid
        self.executorStartTime = executor.startTime
        self.usedStandby = usedStandby
        self.supervisor = HeldExecutor(executor, link: link)
        self.recovered = recovered
        self.heldBack = Mutex(recovered == nil ? nil : [])
        self.cgroup = cgroup
        self.reactor = reactor
        self.events = events
        self.log = log
    }

    /// A task that is over: its end is all that can be told.
    init(
        _ state: HandleState, id: String, name: String, end: TaskEnd, reactor: Reactor, events: TaskEventQueue,
        log: Logger
    ) {
        self.id = id
        self.name = name
        self.directory = state.taskDirectory
        self.executorPid = state.executorPid
        self.executorStartTime = state.executorStartTime
        self.usedStandby = false
        self.supervisor = nil
        self.recovered = nil
        self.heldBack = Mutex([])
        self.cgroup = state.cgroup
        self.reactor = reactor
        self.events = events
        self.log = log
        launched.set(.started(end.task ?? StartedTask(pid: state.taskPid, startedAt: state.startedAt)))
        conclude(end)
        executorGone.set(())
    }

    /// Whether the Executor has begun with the task, or may have: its first act is to say in the directory who it is.
    var hasStartedTask: Bool {
        access(directory.path + "/" + StateFile.identity, F_OK) == 0 || Errno.last != .noSuchFile
    }

    /// A pidfd of the Executor, for as long as this object lives; nil where the task had ended before this
    /// Driver came.
    package var executorPidfd: Int32? { supervisor?.pidfd.number }

    /// Begins to listen to the Executor.
    func watch() throws(SystemError) {
        guard let supervisor else { return }
        try supervisor.watch(
            on: reactor, said: { [self] in receive(supervisor) }, ended: { [self] in executorEnded(supervisor) })
    }

    /// Kills and reaps an Executor that cannot be watched.
    func abandon() {
        guard let supervisor else { return }
        supervisor.kill()
        ChildReaper.reap(supervisor.pidfd.number, heldBy: supervisor, on: reactor)
    }

    /// The task once it has started; nil before, or where it never did.
    package var started: StartedTask? {
        guard case .started(let task)? = launched.current else { return nil }
        return task
    }

    // MARK: What the Executor says

    private func receive(_ supervisor: HeldExecutor) {
        supervisor.link.receive { event in
            switch event {
            case .started(let task):
                supervisor.launchIsOver()
                launched.set(.started(task))
            case .launchFailed(let stage, let errno, let subject):
                launched.set(.failed(stage: stage, errno, subject: subject))
            case .exited: BlockingPool.shared.perform { [self] in readRecord(then: nil) }
            case .welcome, .done, .refused:
                log.warn("received an answer to no pending request", ["task_id": id, "executor_pid": executorPid])
            }
        }
    }

    /// The Executor is gone: what it wrote is all there will ever be.
    private func executorEnded(_ supervisor: HeldExecutor) {
        receive(supervisor)
        supervisor.unwatch(on: reactor)
        let leave = ChildReaper.reap(supervisor.pidfd.number, heldBy: supervisor, on: reactor)
        supervisor.link.close()
        launched.set(recovered.map { .started($0) } ?? .executorGone(leave))
        guard started != nil, ended.current == nil else {
            executorGone.set(())
            return
        }
        BlockingPool.shared.perform { [self] in
            readRecord { [self] in
                if ended.current == nil { supervisorLost(leave) }
                executorGone.set(())
            }
        }
    }

    /// Sets the task's end, once, and tells the host what is out of the ordinary about it.
    @discardableResult
    private func conclude(_ end: TaskEnd) -> Bool {
        guard ended.set(end) else { return false }
        // While the cgroup is still there: the client removes it after the task.
        let memory = end.oomKilled ? CgroupUsage.memoryLimitAndPeak(of: cgroup) : (nil, nil)
        if let message = TaskEvent.message(about: end, memory: memory) {
            publish(TaskEvent(taskID: id, taskName: name, time: end.endedAt, message: message))
        }
        return true
    }

    private func publish(_ event: TaskEvent) {
        let isHeldBack = heldBack.withLock { events in
            events?.append(event)
            return events != nil
        }
        if !isHeldBack { events.publish(event) }
    }

    /// The host waits for the task, and takes its events.
    package func tellWhatIsHeldBack() {
        let events = heldBack.withLock { events in
            defer { events = nil }
            return events ?? []
        }
        for event in events { self.events.publish(event) }
    }

    /// Tells the host something about the task that is out of the ordinary.
    func tell(_ message: String) {
        publish(TaskEvent(taskID: id, taskName: name, time: Int64(bitPattern: exec2_realtime()), message: message))
    }

    /// Takes the end from the exit record, if it is there, and then calls `then`. As long as a shortage keeps it from
    /// being read, of descriptors say, it tries again: the record exists as long as its directory.
    private func readRecord(attempt: Int = 1, then: (@Sendable () -> Void)?) {
        do throws(RecordError) {
            if let record = try directory.readRecord() { conclude(.recorded(record)) }
        } catch {
            if case .unreadable(let cause) = error, StartError.mayPass(cause.errno) {
                if attempt == Self.recordWarning {
                    log.warn(
                        "cannot read a task's exit record yet: the host is short of a resource; trying until it can",
                        ["task_id": id, "reason": cause.text])
                }
                _ = reactor.after(Self.recordNanoseconds) { [self] in
                    BlockingPool.shared.perform { [self] in readRecord(attempt: attempt + 1, then: then) }
                }
                return
            }
            lose("\(error.text); the task's exit status is lost")
        }
        then?()
    }

    private static let recordNanoseconds: UInt64 = 200_000_000
    /// At which attempt it is said that an exit record cannot be read, after about five seconds.
    private static let recordWarning = 25

    /// Takes the end from the exit record, if a whole one is there.
    func takeRecord() {
        if let record = try? directory.readRecord() { conclude(.recorded(record)) }
    }

    /// The kernel has killed every process of the PID namespace with its init; what an operator moved
    /// into the cgroup by hand is killed here.
    private func supervisorLost(_ leave: ExecutorTermination) {
        AbandonedCgroup.empty(cgroup)
        if leave == .unknown && !directory.hasReservedRecord {
            lose(
                "the task has ended, and its exit status is lost: its state directory \(directory.path), or what was in it, "
                    + "was removed while it ran")
            return
        }
        lose(leave.lossOfTask(executor: executorPid, directory: directory.path))
    }

    private func lose(_ reason: String) {
        if conclude(.lost(reason: reason, endedAt: Int64(bitPattern: exec2_realtime()))) {
            log.error("a task's end is not known", ["task_id": id, "reason": reason])
        }
    }

    // MARK: What the Driver asks

    /// Opens a session with an Executor that an earlier Driver had, and takes what it tells as the
    /// task's facts. Where it does not answer, the session opens with the first request that it does.
    func openSession() async {
        guard let supervisor, let recovered else { return }
        do throws(LinkError) {
            let facts = try await supervisor.link.openSession()
            launched.set(.started(facts.pid > 0 ? facts : recovered))
        } catch {
            log.warn("a recovered task's Executor does not answer yet", ["task_id": id, "reason": error.text])
            launched.set(.started(recovered))
        }
    }

    /// Notes that the host knows this task, here and, once, in its directory.
    package func claim(_ configuration: Int) async {
        claims.claim(configuration)
        guard claimedOnDisk.set(()) else { return }
        await BlockingPool.shared.run { noteClaim() }
    }

    private func noteClaim() {
        do throws(SystemError) {
            _ = try OwnedDescriptor.open(
                directory.path + "/" + StateFile.claimed, O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
        } catch {
            // Without its directory the task is nothing that a later Driver could take for one that nobody claims.
            if error.errno == .noSuchFile || error.errno == .notDirectory { return }
            log.warn(
                "cannot note that the agent knows a task: unless the agent recovers it, the next driver ends it after "
                    + "orphan_grace; make room in state_dir", ["task_id": id, "error": error.text])
        }
    }

    /// Sends a signal to the task's process group.
    package func signal(_ number: Int32) async throws(TaskError) {
        guard ended.current == nil else { throw .notRunning(id: id) }
        switch try await ask(.signal(number)) {
        case .refused(.noSuchProcess): throw .notRunning(id: id)
        case .refused(let errno): throw .signalRefused(id: id, signal: number, errno)
        default: return
        }
    }

    /// Stops the task: the signal, then SIGKILL after the timeout. Returns when nothing of it is left.
    ///
    /// An Executor that does not react is killed, and the kernel ends the task with it: an operator
    /// who stops a task wants it gone.
    package func stop(signal: Int32, timeoutNanoseconds: UInt64) async throws(TaskError) {
        guard ended.current == nil, let supervisor else { return }
        let margin = UInt64(20_000_000_000)
        do throws(LinkError) {
            _ = try await supervisor.link.ask(.stop(signal: signal, timeoutNanoseconds: timeoutNanoseconds))
            let (most, overflow) = timeoutNanoseconds.addingReportingOverflow(margin)
            _ = await ended.wait(atMost: overflow ? .max : most, on: reactor)
            if ended.current != nil || Task.isCancelled { return }
            log.error(
                "the Executor has not ended its task in time: it is killed",
                ["task_id": id, "executor_pid": executorPid])
        } catch {
            if case .gone = error { return await waitForEnd() }
            log.error("cannot stop through the Executor: it is killed", ["task_id": id, "reason": error.text])
        }
        killExecutor()
        await waitForEnd()
        if ended.current == nil && !Task.isCancelled { throw .cannotBeKilled(id: id, executor: executorPid) }
    }

    /// Waits until the end is known, as long as the kernel may take to kill.
    private func waitForEnd() async {
        _ = await ended.wait(atMost: 10_000_000_000, on: reactor)
    }

    /// Kills the Executor and, with the PID namespace, everything of its task.
    func killExecutor() { supervisor?.kill() }

    private func ask(_ request: ExecutorRequest) async throws(TaskError) -> ExecutorEvent {
        guard let supervisor else { throw .notRunning(id: id) }
        do throws(LinkError) {
            return try await supervisor.link.ask(request)
        } catch {
            if case .gone = error { throw .notRunning(id: id) }
            throw .executor(id: id, error)
        }
    }

    /// Waits for the Executor to be gone and removes the state directory, also when the caller's Swift
    /// task is cancelled meanwhile: a client that gave up must not leave a directory behind.
    ///
    /// Done once, whoever else asks, and tried again only where it failed: by then the directory of that name may be
    /// that of the task which the client has started next under the same id.
    ///
    /// The failure, where anything is left.
    @discardableResult
    func remove() async -> SystemError? {
        let removal = self.removal.withLock { removal -> Task<SystemError?, Never> in
            if let removal { return removal }
            let begun = Task(executorPreference: BlockingPool.shared) { [self] in
                let error = await removeWhenGone()
                if error != nil { self.removal.withLock { $0 = nil } }
                return error
            }
            removal = begun
            return begun
        }
        return await removal.value
    }

    private func removeWhenGone() async -> SystemError? {
        if await executorGone.wait(atMost: 5_000_000_000, on: reactor) == nil {
            log.warn(
                "the Executor of an ended task has not exited 5 s after the task's end (processes that SIGKILL does not "
                    + "end?): it is killed", ["task_id": id, "executor_pid": executorPid])
            killExecutor()
            _ = await executorGone.wait(atMost: 5_000_000_000, on: reactor)
        }
        let error = directory.remove()
        if let error { log.error("cannot remove a task's state directory", ["task_id": id, "error": error.text]) }
        return error
    }
}
