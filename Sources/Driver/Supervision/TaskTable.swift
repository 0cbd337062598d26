import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared
import Synchronization

/// The tasks that this Driver knows, and the ways into and out of that.
package final class TaskTable: Sendable {
    /// A task that is being started, found again or ended for want of a host that knows it has its place, so that
    /// nobody else does so too.
    enum Entry {
        case starting(Transition)
        case recovering(Transition)
        case ending(Transition)
        case known(SupervisedTask)
    }

    /// What one call is just making of a task, and others wait for.
    struct Transition: Sendable {
        /// The task's.
        let cgroup: String
        let done = OneShot<Void>()
    }

    /// How long a launch may take: opening files on a dead network file system can hang for ever.
    private static let launchNanoseconds: UInt64 = 60_000_000_000
    /// How long an Executor that stood by may take to begin with its task, which it does at once unless it is
    /// stopped or frozen.
    private static let takeUpNanoseconds: UInt64 = 3_000_000_000

    package let reactor: Reactor
    let entries = Mutex<[String: Entry]>([:])
    /// The handles of tasks that may run and could not be recovered: what the host destroys then is found by them
    /// where the state directory tells nothing.
    let unreached = Mutex<[String: HandleState]>([:])
    let predecessors = OrphanedStateDirectories()
    package let executorCgroup = ExecutorCgroup()
    private let standby: StandbyExecutor
    package let events = TaskEventQueue()
    private let logReaders: LogReaders
    let memory: MemoryReturn
    let log: Logger

    package init(reactor: Reactor, log: Logger) {
        self.reactor = reactor
        self.log = log
        standby = StandbyExecutor(reactor: reactor, log: log)
        logReaders = LogReaders(reactor: reactor, log: log)
        memory = MemoryReturn(reactor: reactor)
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
        entries.withLock { $0.keys.contains { (try? stateDirectoryName(ofTask: $0)) == directory.name } }
    }

    /// Every task that is known.
    var tasks: [SupervisedTask] {
        entries.withLock { entries in
            entries.values.compactMap { entry in
                guard case .known(let task) = entry else { return nil }
                return task
            }
        }
    }

    /// Tells the host, as long as the task runs, when its logs have lost their reader.
    /// - Parameter recovered: An earlier Driver started the task: the reader may have left before.
    package func watchLogs(of task: SupervisedTask, recovered: Bool) {
        guard task.ended.current == nil else { return }
        Task(executorPreference: BlockingPool.starts) { [self] in
            let watches = logReaders.watch(
                executor: task.executorPid, stateDirectory: task.directory.path, mayBeGone: recovered
            ) { [weak task, log] message in
                guard let task, task.ended.current == nil else { return }
                log.warn("a task's logs are not read", ["task_id": task.id, "reason": message])
                task.tell(message)
            }
            _ = await task.ended.wait()
            logReaders.forget(watches)
        }
    }

    // MARK: Start

    /// Launches a task under an Executor of its own and waits until its program runs.
    ///
    /// - Parameter standby: Whether an Executor may be kept ready for the next task, and this task take the
    ///   one that is. Never for an attached task, whose Executor finds more descriptors open.
    package func start(
        id: String, name taskName: String, _ specification: LaunchSpecification, stateDirectory: String,
        executor: ExecutorSearch, standby keepsStandby: Bool = false
    ) async throws(StartError) -> SupervisedTask {
        let directoryName = try directoryName(id)
        let (starting, earlier) = try reserve(id, in: specification.cgroup)
        defer { starting.done.set(()) }
        do throws(StartError) {
            if Task.isCancelled { throw .givenUp }
            try await clear(specification.cgroup, after: earlier)
            try await endOrphans(in: specification.cgroup, stateDirectory: stateDirectory)
            let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: directoryName)
            if !keepsStandby { standby.dismiss() }
            var task = try spawn(
                id: id, name: taskName, in: directory, try makeDirectory(directory), specification, executor,
                standby: keepsStandby)
            if try await !launch(task, specification) {
                task = try spawn(
                    id: id, name: taskName, in: directory, try makeDirectory(directory), specification, executor,
                    standby: false)
                _ = try await launch(task, specification)
            }
            entries.withLock { $0[id] = .known(task) }
            if keepsStandby { prepareStandby(specification, executor) }
            return task
        } catch {
            forget(id) { if case .starting = $0 { true } else { false } }
            removeCgroupWhenIdle()
            memory.taskIsGone()
            throw error
        }
    }

    private func directoryName(_ id: String) throws(StartError) -> String {
        do throws(TaskIDError) {
            return try stateDirectoryName(ofTask: id)
        } catch {
            throw StartError(.invalidRequest, "cannot start task \(quoted(id)): \(error.text)")
        }
    }

    /// Takes the entry of a task that is to be started.
    ///
    /// - Returns: The other starts in the same cgroup that are under way.
    private func reserve(
        _ id: String, in cgroup: String
    ) throws(StartError) -> (starting: Transition, earlier: [Transition]) {
        let starting = Transition(cgroup: cgroup)
        let earlier = entries.withLock { entries -> [Transition]? in
            guard entries[id] == nil else { return nil }
            let earlier = entries.values.compactMap { entry -> Transition? in
                guard case .starting(let other) = entry, !cgroup.isEmpty, other.cgroup == cgroup else { return nil }
                return other
            }
            entries[id] = .starting(starting)
            return earlier
        }
        guard let earlier else {
            throw StartError(.alreadyExists, "task \(quoted(id)) is already started; it must be destroyed first")
        }
        return (starting, earlier)
    }

    private func makeDirectory(_ directory: TaskStateDirectory) throws(StartError) -> SessionPipes {
        try prepareStateDirectory(directory.stateDirectory)
        for _ in 0..<2 {
            do throws(SystemError) {
                return try directory.create()
            } catch {
                guard error.errno == .fileExists else { throw StartError(error) }
                try clearLeftovers(of: directory)
            }
        }
        throw StartError(
            .transient, "cannot make the task's state directory \(directory.path): another driver makes it too")
    }

    private func prepareStateDirectory(_ path: String) throws(StartError) {
        do throws(StateDirectoryFault) {
            guard let other = try StateDirectory(path: path).prepare() else { return }
            log.warn(
                "the state directory belonged to another user and was taken back", ["path": path, "uid": Int(other)])
        } catch {
            throw StartError(error.mayPass ? .transient : .permanent, error.text + "; " + error.remedy)
        }
    }

    /// A directory of this task's id that an earlier Driver left: removed, unless its task still runs.
    private func clearLeftovers(of directory: TaskStateDirectory) throws(StartError) {
        let lock: OwnedDescriptor?
        let running: HandleState?
        do throws(SystemError) {
            running = try HandleState.identity(in: directory).flatMap { (state) throws(SystemError) in
                try state.executorLives ? state : nil
            }
            lock = running == nil ? try directory.lock() : nil
        } catch {
            throw StartError(error)
        }
        if let running {
            throw StartError(
                .alreadyExists,
                "task \(quoted(running.taskID)) runs already, started by an earlier driver (Executor pid "
                    + "\(running.executorPid)); it must be recovered, or stopped and destroyed first")
        }
        guard lock != nil else {
            throw StartError(.transient, "another driver process uses the task's state directory \(directory.path)")
        }
        if let error = directory.remove() { throw StartError(error) }
    }

    private func spawn(
        id: String, name: String, in directory: TaskStateDirectory, _ pipes: consuming SessionPipes,
        _ specification: LaunchSpecification, _ executor: ExecutorSearch, standby mayStandBy: Bool
    ) throws(StartError) -> SupervisedTask {
        let session = UInt64.random(in: 1...UInt64.max)
        let process: ExecutorProcess
        let usedStandby: Bool
        do throws(StartError) {
            let request = specification.encoded(session: session, directory: directory)
            let origin = mayStandBy ? origin(specification, executor) : nil
            if mayStandBy, let standing = standby.take(origin, request: request) {
                process = standing
                usedStandby = true
            } else {
                process = try spawnExecutor(request, specification, executor)
                usedStandby = false
            }
        } catch {
            _ = directory.remove()
            throw error
        }
        let link = ExecutorLink(
            pipes, session: session, isOpen: true, executor: process.pid, reactor: reactor, log: log)
        let task = SupervisedTask(
            id: id, name: name, directory: directory, executor: process, usedStandby: usedStandby, link: link,
            cgroup: specification.cgroup, reactor: reactor, events: events, log: log)
        do throws(SystemError) {
            try task.watch()
        } catch {
            task.abandon()
            _ = directory.remove()
            throw StartError(error)
        }
        return task
    }

    private func spawnExecutor(
        _ request: [UInt8], _ specification: LaunchSpecification, _ executor: ExecutorSearch
    ) throws(StartError) -> ExecutorProcess {
        guard let program = executor.found else {
            throw StartError(.permanent, executor.missesText + "; " + ExecutorSearch.remedy)
        }
        do throws(SpawnError) {
            return try executorCgroup.spawn(forTaskIn: specification.cgroup) { (cgroup) throws(SpawnError) in
                try ExecutorProcess.spawn(
                    path: program, request: request, attachment: specification.attachment, cgroup: cgroup)
            }
        } catch {
            throw StartError(error.isTransient ? .transient : .permanent, error.text)
        }
    }

    /// Where the Executor of this start would be spawned from.
    private func origin(_ specification: LaunchSpecification, _ executor: ExecutorSearch) -> ExecutorOrigin? {
        guard let program = executor.found else { return nil }
        return ExecutorOrigin(program: program, cgroup: ExecutorCgroup.path(forTaskIn: specification.cgroup))
    }

    /// Has the next start's Executor spawned, while this one's answer is on its way.
    private func prepareStandby(_ specification: LaunchSpecification, _ executor: ExecutorSearch) {
        guard let origin = origin(specification, executor) else { return }
        Task(executorPreference: BlockingPool.starts) { [self] in
            standby.prepare(origin, in: executorCgroup, forTaskIn: specification.cgroup)
        }
    }

    /// Waits until the task runs. False where the Executor had stood by and was gone before it took the
    /// task up: nothing of the task has happened then, and another may start it.
    private func launch(
        _ task: SupervisedTask, _ specification: LaunchSpecification
    ) async throws(StartError) -> Bool {
        switch await outcome(of: task) {
        case .started: return true
        case .failed(let stage, let errno, let subject):
            await task.remove()
            throw StartError(stage: stage, errno, subject: subject, specification: specification)
        case .executorGone where task.usedStandby && !task.hasStartedTask:
            log.warn(
                "an Executor that stood by ended before it took its task up, another is started",
                ["task_id": task.id, "executor_pid": task.executorPid])
            await task.remove()
            return false
        case .executorGone(let leave):
            await task.remove()
            throw StartError(
                .transient, leave.failureOfStart(executor: task.executorPid, directory: task.directory.path))
        case nil where Task.isCancelled:
            // A task that nobody has a handle of must not go on running.
            task.killExecutor()
            await task.remove()
            throw .givenUp
        case nil:
            task.killExecutor()
            await task.remove()
            throw StartError(
                .transient,
                "the task's launch has not ended within \(Self.launchNanoseconds / 1_000_000_000) s (a file system that "
                    + "does not answer?): it was given up")
        }
    }

    /// How the launch went; nil when its time is up, or the client has given it up.
    ///
    /// An Executor that stood by and does not begin with the task is killed. Only when it is gone counts what it
    /// has left in the directory: nothing can be added by then, so that no task is launched a second time.
    private func outcome(of task: SupervisedTask) async -> LaunchOutcome? {
        if task.usedStandby {
            let outcome = await task.launched.wait(atMost: Self.takeUpNanoseconds, on: reactor)
            if outcome != nil || Task.isCancelled { return outcome }
            if !task.hasStartedTask {
                log.warn(
                    "an Executor that stood by has not begun with its task in time: it is killed",
                    ["task_id": task.id, "executor_pid": task.executorPid])
                task.killExecutor()
            }
        }
        return await task.launched.wait(atMost: Self.launchNanoseconds, on: reactor)
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
        if task.ended.current == nil {
            guard force else { throw .stillRunning(id: task.id) }
            try await task.stop(signal: SIGKILL, timeoutNanoseconds: 0)
        }
        // Known until nothing is left, so that the client can ask again.
        if let error = await task.remove() { throw .notRemoved(id: task.id, error) }
        forget(task.id) { if case .known(let known) = $0 { known === task } else { false } }
        removeCgroupWhenIdle()
        memory.taskIsGone()
    }

    /// Takes an id out of the table, where its entry is the caller's: by the time that he comes, it may be another's.
    func forget(_ id: String, where isOwn: (Entry) -> Bool) {
        entries.withLock { entries in
            if let entry = entries[id], isOwn(entry) { _ = entries.removeAndShrink(id) }
        }
    }

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

    /// Ends the Executor that stands by, if one does.
    package func dismissStandby() {
        standby.dismiss()
        removeCgroupWhenIdle()
    }

    /// Once no task is left, the Executors' cgroup goes too, unless one stands by in it.
    func removeCgroupWhenIdle() {
        if entries.withLock({ $0.isEmpty }) { executorCgroup.removeEmpty() }
    }
}
