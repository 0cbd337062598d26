import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared

/// One task as the Driver knows it: its directory, its Executor, and how far it has come (`TaskState`).
package final class SupervisedTask: Sendable {
    package let id: String
    /// The task's name in its job.
    package let name: String
    let directory: TaskStateDirectory
    /// The Executor, as the Driver's own PID namespace numbers it.
    package let executorPid: Int32
    /// See `ExecutorProcess`.
    let executorStartTime: UInt64
    package let cgroup: String
    let reactor: Reactor
    private let events: TaskEventQueue
    let log: Logger
    package let claims = HostInterest()
    private let state: Mutex<TaskState<HeldExecutor>>
    /// Events of a recovered task from before the host waited for it: during a recovery the host does not handle
    /// events yet. Nil: events are not held back.
    private let heldBack: Mutex<[TaskEvent]?>
    /// Set by the call that makes the note that the host knows the task, and when that is over.
    let claimNote = OneShot<Void>()
    let claimNoteIsOver = OneShot<Void>()
    let removal = Mutex<Task<SystemError?, Never>?>(nil)

    // They only wake who waits; what there is to know is in `state`.
    private let launched = OneShot<Void>()
    package let ended = OneShot<Void>()
    let finished = OneShot<Void>()

    /// A task whose Executor lives.
    /// - Parameters:
    ///   - isStandby: Whether the Executor was there before the task.
    ///   - recovered: What the handle tells of a task that an earlier Driver started; nil for one that is being
    ///     launched.
    init(
        id: String, name: String, directory: TaskStateDirectory, executor: consuming ExecutorProcess,
        isStandby: Bool = false,
        link: ExecutorLink, recovered: StartedTask? = nil, cgroup: String, reactor: Reactor, events: TaskEventQueue,
        log: Logger
    ) {
        self.id = id
        self.name = name
        self.directory = directory
        self.executorPid = executor.pid
        self.executorStartTime = executor.startTime
        let held = HeldExecutor(executor, link: link)
        state = Mutex(recovered.map { .attaching(held, handle: $0) } ?? .launching(held, isStandby: isStandby))
        self.heldBack = Mutex(recovered == nil ? nil : [])
        self.cgroup = cgroup
        self.reactor = reactor
        self.events = events
        self.log = log
    }

    /// A task that is over: its end is all that can be told.
    init(
        _ handle: HandleState, id: String, name: String, end: TaskEnd, reactor: Reactor, events: TaskEventQueue,
        log: Logger
    ) {
        self.id = id
        self.name = name
        self.directory = handle.taskDirectory
        self.executorPid = handle.executorPid
        self.executorStartTime = handle.executorStartTime
        let task = end.task ?? StartedTask(pid: handle.taskPid, startedAt: handle.startedAt)
        state = Mutex(.over(nil, task, end))
        self.heldBack = Mutex([])
        self.cgroup = handle.cgroup
        self.reactor = reactor
        self.events = events
        self.log = log
        wake(.over(nil, task, end))
        tell(end)
    }

    // MARK: The state

    /// Takes an event; false where the state refuses it.
    @discardableResult
    func take(_ event: TaskState<HeldExecutor>.Event) -> Bool {
        let next = state.withLock { state -> TaskState<HeldExecutor>? in
            guard let next = state.after(event) else { return nil }
            state = next
            return next
        }
        guard let next else { return false }
        wake(next)
        return true
    }

    private func wake(_ state: TaskState<HeldExecutor>) {
        if state.launch != nil { launched.set(()) }
        if state.end != nil { ended.set(()) }
        if state.isFinal { finished.set(()) }
    }

    var current: TaskState<HeldExecutor> { state.withLock { $0 } }

    /// The task once it has started; nil before, or where it never did.
    package var started: StartedTask? { current.started }

    /// How the task ended, once that is known.
    package var end: TaskEnd? { current.end }

    /// Waits until the end is known; nil when the waiting Swift task is cancelled first.
    package func waitForEnd() async -> TaskEnd? {
        _ = await ended.wait()
        return end
    }

    /// How the launch went, after at most so many nanoseconds; nil where that is not known by then.
    func waitForLaunch(atMost nanoseconds: UInt64) async -> LaunchOutcome? {
        _ = await launched.wait(atMost: nanoseconds, on: reactor)
        return current.launch
    }

    /// Whether the Executor was there before the task, and has not yet said how its launch went.
    var waitsForStandby: Bool {
        guard case .launching(_, isStandby: true) = current else { return false }
        return true
    }

    /// Whether the Executor has begun with the task, or may have: its first act is to say in the directory who it is.
    var hasStartedTask: Bool {
        access(directory.path + "/" + StateFile.identity, F_OK) == 0 || Errno.last != .noSuchFile
    }

    /// A pidfd of the Executor, for as long as this object lives; nil where the task had ended before this
    /// Driver came.
    package var executorPidfd: Int32? { current.executor?.pidfd.number }

    /// Begins to listen to the Executor.
    func watch() throws(SystemError) {
        guard let executor = current.executor else { return }
        try executor.watch(
            on: reactor, said: { [self] in receive(executor) }, ended: { [self] in executorEnded(executor) })
    }

    /// Kills and reaps an Executor that cannot be watched.
    func abandon() {
        guard let executor = current.executor else { return }
        executor.kill()
        ChildReaper.reap(executor.pidfd.number, heldBy: executor, on: reactor)
    }

    // MARK: What the Executor says

    private func receive(_ executor: HeldExecutor) {
        executor.link.receive { event in
            switch event {
            case .started(let task):
                executor.launchIsOver()
                take(.started(task))
            case .launchFailed(let stage, let errno, let subject):
                take(.launchFailed(.reported(stage: stage, errno, subject: subject)))
            case .exited(let record): exited(record)
            case .welcome, .done, .refused:
                log.warn("received an answer to no pending request", ["task_id": id, "executor_pid": executorPid])
            }
        }
    }

    /// The task has ended.
    /// - Parameter record: What came with the event. Where none did, or files of the cgroup are to be read as well, another
    ///   thread reads the one on disk.
    private func exited(_ record: ExitRecord?) {
        if let record, record.taskDirectory == directory.name, !record.oomKilled {
            conclude(.recorded(record))
        } else {
            BlockingPool.shared.perform { [self] in readRecord() }
        }
    }

    /// The Executor is gone: what it has written is all there will be.
    private func executorEnded(_ executor: HeldExecutor) {
        receive(executor)
        executor.unwatch(on: reactor)
        let termination = ChildReaper.reap(executor.pidfd.number, heldBy: executor, on: reactor)
        executor.link.close()
        take(.executorGone(termination))
        if case .reading = current { BlockingPool.shared.perform { [self] in readRecord() } }
    }

    /// Takes the task's end, and tells the host what is out of the ordinary about it. False where the end is known.
    @discardableResult
    private func conclude(_ end: TaskEnd) -> Bool {
        guard take(.endKnown(end)) else { return false }
        tell(end)
        return true
    }

    private func tell(_ end: TaskEnd) {
        // While the cgroup is still there: the client removes it after the task.
        let memory = end.oomKilled ? CgroupUsage.memoryLimitAndPeak(of: cgroup) : (nil, nil)
        if let message = TaskEvent.message(about: end, memory: memory) {
            publish(TaskEvent(taskID: id, taskName: name, time: end.endedAt, message: message))
        }
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

    /// Takes the end from the exit record. If a shortage, of descriptors say, prevents that, it tries again: the record
    /// exists as long as its directory. The exit status is lost if the record is missing and no Executor can still
    /// write it.
    private func readRecord(attempt: Int = 1) {
        do throws(RecordError) {
            if let record = try directory.readRecord() {
                conclude(.recorded(record))
            } else if case .reading(_, _, let termination) = current {
                supervisorLost(termination)
            }
        } catch {
            guard case .unreadable(let cause) = error, StartError.mayPass(cause.errno) else {
                return lose("\(error.text); the task's exit status is lost")
            }
            if attempt == Self.recordWarning {
                log.warn(
                    "cannot read a task's exit record yet: the host is short of a resource; trying until it can",
                    ["task_id": id, "reason": cause.text])
            }
            _ = reactor.after(Self.recordNanoseconds) { [self] in
                BlockingPool.shared.perform { [self] in readRecord(attempt: attempt + 1) }
            }
        }
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
    private func supervisorLost(_ termination: ExecutorTermination) {
        AbandonedCgroup.empty(cgroup)
        if termination == .unknown && !directory.hasReservedRecord {
            lose(
                "the task has ended, and its exit status is lost: its state directory \(directory.path), or what was in it, "
                    + "was removed while it ran")
            return
        }
        lose(termination.lossOfTask(executor: executorPid, directory: directory.path))
    }

    private func lose(_ reason: String) {
        if conclude(.lost(reason: reason, endedAt: Int64(bitPattern: exec2_realtime()))) {
            log.error("a task's end is not known", ["task_id": id, "reason": reason])
        }
    }
}
