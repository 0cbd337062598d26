import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared

/// The tasks of this Driver: what is known of them, and their destruction. `TaskStart`, `TaskRecovery` and `TaskEnding`
/// have the rest.
package final class TaskTable: Sendable {
    package let reactor: Reactor
    let entries = Mutex(TaskEntries())
    /// The handles of tasks that may run and could not be recovered: what the host destroys then is found by them
    /// where the state directory tells nothing.
    let unreached = Mutex<[String: HandleState]>([:])
    let orphanedDirectories = OrphanedStateDirectories()
    package let executorCgroup = ExecutorCgroup()
    /// Called with the pid of each Executor that is spawned for a task, before it has its request.
    package let spawned = Mutex<(@Sendable (Int32) -> Void)?>(nil)
    let standby: StandbyExecutor
    package let standbyAttendant: StandbyAttendant
    package let events = TaskEventQueue()
    let templates: RootTemplates
    package let clientMounts = ClientMounts()
    private let logReaders: LogReaders
    private let denials: DenialReader
    let memory: MemoryReturn
    let log: Logger

    package init(reactor: Reactor, log: Logger) {
        self.reactor = reactor
        self.log = log
        standby = StandbyExecutor(reactor: reactor, log: log)
        standbyAttendant = StandbyAttendant(cgroup: executorCgroup, reactor: reactor, log: log)
        templates = RootTemplates(reactor: reactor, log: log)
        logReaders = LogReaders(reactor: reactor, log: log)
        denials = DenialReader(reactor: reactor, log: log)
        memory = MemoryReturn(reactor: reactor)
        for process in [standby, standbyAttendant.process] {
            process.onEnd { [weak self] in
                guard let self else { return }
                BlockingPool.shared.perform { self.cleanWhenIdle() }
            }
        }
    }

    /// The task of an id, for a call that is to do this with it.
    package func task(_ id: String, to action: TaskAction) throws(TaskError) -> SupervisedTask {
        switch entries.withLock({ $0[id] }) {
        case .known(let task): return task
        case .starting: throw .starting(id: id, action)
        case .recovering, .ending, nil: throw .unknown
        }
    }

    /// Whether a task of an id is known, or is just becoming so.
    func isKnown(_ id: String) -> Bool { entries.withLock { $0[id] != nil } }

    /// Whether a task is being started for which this directory is made.
    func isStarting(in directory: TaskStateDirectory) -> Bool {
        entries.withLock { $0.byID.keys.contains { (try? stateDirectoryName(ofTask: $0)) == directory.name } }
    }

    /// Every task that is known.
    var tasks: [SupervisedTask] {
        entries.withLock { entries in
            entries.byID.values.compactMap { entry in
                guard case .known(let task) = entry else { return nil }
                return task
            }
        }
    }

    /// Tells the host, as long as the task runs, when its logs have lost their reader. It may block its thread.
    /// - Parameter recovered: An earlier Driver started the task: the reader may have left before.
    package func watchLogs(of task: SupervisedTask, recovered: Bool) {
        guard task.end == nil else { return }
        // By the Executor's descriptors: who can write to the log directory can put a symlink in a pipe's place.
        let watches = logReaders.watch(
            executor: task.executorPid, stateDirectory: task.directory.path, mayBeGone: recovered
        ) { [weak task, log] message in
            guard let task, task.end == nil else { return }
            log.warn("a task's logs are not read", ["task_id": task.id, "reason": message])
            task.tell(message)
        }
        Task(executorPreference: BlockingPool.starts) { [logReaders] in
            _ = await task.ended.wait()
            logReaders.forget(watches)
        }
    }

    /// Has the denials of tasks told in their events, or not any more.
    package func tellDenials(_ isOn: Bool) {
        if isOn { denials.open { [self] in tasks } } else { denials.close() }
    }

    // MARK: Destroy

    /// Forgets a task and removes what it left. A running one is refused, or killed with `force`. One
    /// that only an earlier Driver knew is destroyed all the same; an unknown one is no error.
    package func destroy(_ id: String, force: Bool, stateDirectory: String) async throws(TaskError) {
        let found =
            try await force
            ? adoptToEnd(id: id, stateDirectory: stateDirectory, to: .destroy)
            : adopt(id: id, stateDirectory: stateDirectory, to: .destroy)
        unreached.withLock { _ = $0.removeAndShrink(id) }
        guard let task = found else {
            removeRemains(of: id, in: stateDirectory)
            return
        }
        try await destroy(task, force: force)
    }

    /// Forgets this very task and removes what it left. One that the client has started since then under the same
    /// id, when another call had destroyed this, is not touched.
    func destroy(_ task: SupervisedTask, force: Bool) async throws(TaskError) {
        if task.end == nil {
            guard force else { throw .stillRunning(id: task.id) }
            try await task.stop(signal: SIGKILL, timeoutNanoseconds: 0)
        }
        // Known until nothing is left, so that the client can ask again.
        if let error = await task.remove() { throw .notRemoved(id: task.id, error) }
        take(task.id, .removed(task))
        cleanWhenIdle()
        memory.taskIsGone()
    }

    /// Takes an event of a task's entry; false where the entry refuses it.
    @discardableResult
    func take(_ id: String, _ event: EntryEvent) -> Bool { entries.withLock { $0.take(id, event) } }

    /// Removes what a Driver left that died while it made the directory or removed it.
    private func removeRemains(of id: String, in stateDirectory: String) {
        guard entries.withLock({ $0[id] == nil }), let name = try? stateDirectoryName(ofTask: id) else { return }
        let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: name)
        // Without a directory there is nothing to lock; a directory that is locked is another Driver's.
        guard let lock = try? directory.lock() else { return }
        if let error = directory.remove() {
            log.error("cannot remove a task's state directory", ["task_id": id, "error": error.text])
        }
        _ = consume lock
    }

    /// Ends the Executor and the attendant that stand by, if there are any, and does not wait for their end.
    package func dismissStandby() {
        standby.dismiss()
        standbyAttendant.process.dismiss()
    }

    /// Ends those that stand by, before this process ends.
    package func close() {
        standbyAttendant.process.close()
        standby.close()
        cleanWhenIdle()
    }

    private var isIdle: Bool { entries.withLock { $0.byID.isEmpty } }

    /// Once no task is left there are no commands, so that no attendant stands by, and the Executors' cgroup goes, unless
    /// an Executor stands by in it.
    func cleanWhenIdle() {
        guard isIdle else { return }
        standbyAttendant.process.dismiss()
        executorCgroup.removeEmpty()
    }

    /// Spawns the attendant of the next command in a task, unless one stands by. It may block its thread for a moment.
    ///
    /// - Parameters:
    ///   - program: The path of the Executor's program.
    ///   - taskCgroup: Of the task that had the last command.
    ///   - isWanted: Whether the plugin's options still want one, once it has been spawned.
    package func prepareAttendant(program: String, forTaskIn taskCgroup: String, while isWanted: () -> Bool) {
        guard !isIdle else { return }
        standbyAttendant.prepare(program: program, forTaskIn: taskCgroup)
        // The last task may be gone by now, or the options may have changed.
        if isIdle || !isWanted() { standbyAttendant.process.dismiss() }
    }
}
