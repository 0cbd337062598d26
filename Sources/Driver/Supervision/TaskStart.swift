import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared

/// Tasks are started.
extension TaskTable {
    /// How long a launch may take: opening files on a dead network file system can hang for ever.
    private static let launchNanoseconds: UInt64 = 60_000_000_000
    /// How long an Executor that stood by may take to begin with its task, which it does at once unless it is
    /// stopped or frozen.
    private static let takeUpNanoseconds: UInt64 = 3_000_000_000

    /// A task that was started.
    package struct Launched: Sendable {
        package let task: SupervisedTask
        /// Has the next start's Executor spawned. To be called on a thread that may block, once the start was answered.
        package let prepareNext: @Sendable () -> Void
    }

    /// Launches a task under an Executor of its own and waits until its program runs.
    ///
    /// - Parameter standby: Whether an Executor may be kept ready for the next task, and this task take the
    ///   one that is. Never for an attached task, whose Executor finds more descriptors open.
    /// - Parameter reading: See `readPaths`; nil: nothing has begun.
    package func start(
        id: String, name taskName: String, _ specification: LaunchSpecification, stateDirectory: String,
        executor: ExecutorSearch, standby keepsStandby: Bool = false, reading: TemplateFacts.Reading? = nil
    ) async throws(StartError) -> Launched {
        let directoryName = try directoryName(id)
        let (starting, earlier) = try reserve(id, in: specification.cgroup)
        defer { starting.done.set(()) }
        // Read while the start goes on to where it needs it.
        let request = specification.root.map { templates.request($0.template, reading) }
        do throws(StartError) {
            if Task.isCancelled { throw .givenUp }
            try await clear(specification.cgroup, after: earlier)
            try await endOrphans(in: specification.cgroup, stateDirectory: stateDirectory)
            let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: directoryName)
            if !keepsStandby { standby.dismiss() }
            var (task, origin) = try await spawn(
                id: id, name: taskName, in: directory, specification, executor, request,
                standby: keepsStandby ? .take : .none)
            var attempt = 1
            while try await !launch(task, specification, isLast: attempt == RootTemplates.attempts) {
                attempt += 1
                (task, origin) = try await spawn(
                    id: id, name: taskName, in: directory, specification, executor,
                    specification.root.map { templates.request($0.template) },
                    standby: keepsStandby ? .prepareNext : .none)
            }
            take(id, .settled(starting, task))
            let prepared = origin
            return Launched(task: task) { [self] in if let prepared { prepareStandby(specification, prepared) } }
        } catch {
            take(id, .givenUp(starting))
            cleanWhenIdle()
            memory.taskIsGone()
            throw error
        }
    }

    /// Begins to read what the paths of a task's root lead to, while its start is planned.
    package func readPaths(_ paths: [TemplateSpecification.Path]) -> TemplateFacts.Reading { templates.read(paths) }

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
            let others = entries.entries(in: cgroup).compactMap { entry -> Transition? in
                guard case .starting(let other) = entry else { return nil }
                return other
            }
            return entries.take(id, .claimed(.start, starting)) ? others : nil
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

    func prepareStateDirectory(_ path: String) throws(StartError) {
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

    /// What an attempt to launch a task has to do with standby Executors.
    private enum StandbyUse {
        case none
        /// A new Executor gets the task. The Executor of the next start is spawned ahead from the same origin.
        case prepareNext
        /// The one that stands by gets the task.
        case take
    }

    /// Makes the task's state directory once the template is known, and hands the launch request to an Executor.
    /// - Returns: The task, and what the next start's Executor is to be spawned from; nil: there will be none.
    private func spawn(
        id: String, name: String, in directory: TaskStateDirectory, _ specification: LaunchSpecification,
        _ executor: ExecutorSearch, _ request: RootTemplates.Request?, standby use: StandbyUse
    ) async throws(StartError) -> (SupervisedTask, ExecutorOrigin?) {
        // Meanwhile another thread compares the template with the host.
        let session = UInt64.random(in: 1...UInt64.max)
        let launchRequest = specification.encoded(session: session, directory: directory)
        let template = try await template(request, specification, executor)
        let origin: ExecutorOrigin?
        switch use {
        case .none: origin = nil
        case .prepareNext, .take: origin = self.origin(specification, executor, template)
        }
        // Not before: a start whose template is made or is waited for has nothing that a killed Driver would leave.
        let pipes = try makeDirectory(directory)
        let process: ExecutorProcess
        let isStandby: Bool
        do throws(StartError) {
            if case .take = use, let origin, let standing = standby.take(origin, request: launchRequest) {
                process = standing
                isStandby = true
            } else {
                process = try spawnExecutor(launchRequest, specification, executor, template)
                isStandby = false
            }
        } catch {
            _ = directory.remove()
            throw error
        }
        let link = ExecutorLink(
            pipes, session: session, isOpen: true, executor: process.pid, reactor: reactor, log: log)
        let task = SupervisedTask(
            id: id, name: name, directory: directory, executor: process, isStandby: isStandby, link: link,
            cgroup: specification.cgroup, reactor: reactor, events: events, log: log)
        do throws(SystemError) {
            try task.watch()
        } catch {
            task.abandon()
            _ = directory.remove()
            throw StartError(error)
        }
        return (task, origin)
    }

    private func spawnExecutor(
        _ request: [UInt8], _ specification: LaunchSpecification, _ executor: ExecutorSearch,
        _ template: RootTemplates.Template?
    ) throws(StartError) -> ExecutorProcess {
        guard let program = executor.found else {
            throw StartError(.permanent, executor.missesText + "; " + ExecutorSearch.remedy)
        }
        do throws(SpawnError) {
            return try executorCgroup.spawn(forTaskIn: specification.cgroup) { (cgroup) throws(SpawnError) in
                try ExecutorProcess.spawn(
                    path: program, request: request, attachment: specification.attachment, template: template,
                    cgroup: cgroup, reactor: reactor, beforeRequest: spawned.withLock { $0 })
            }
        } catch {
            throw StartError(error.isTransient ? .transient : .permanent, error.text)
        }
    }

    /// Where the Executor of this start would be spawned from.
    private func origin(
        _ specification: LaunchSpecification, _ executor: ExecutorSearch, _ template: RootTemplates.Template?
    ) -> ExecutorOrigin? {
        guard let program = executor.found else { return nil }
        return ExecutorOrigin(
            program: program, cgroup: ExecutorCgroup.path(forTaskIn: specification.cgroup), template: template)
    }

    /// What the task's root is made from; nil where that is the host's.
    private func template(
        _ request: RootTemplates.Request?, _ specification: LaunchSpecification, _ executor: ExecutorSearch
    ) async throws(StartError) -> RootTemplates.Template? {
        guard let request, let program = executor.found else { return nil }
        do throws(TemplateError) {
            return try await templates.template(request, program: program)
        } catch {
            throw error.startError(LaunchFailureContext(specification))
        }
    }

    private func prepareStandby(_ specification: LaunchSpecification, _ origin: ExecutorOrigin) {
        standby.prepare(origin, in: executorCgroup, forTaskIn: specification.cgroup) { (cgroup) throws(SpawnError) in
            try ExecutorProcess.spawnAhead(
                path: origin.program, template: origin.template, rules: specification.encodedRules, cgroup: cgroup,
                reactor: reactor)
        }
    }

    /// Waits until the task runs. False where another Executor may start it, since nothing of the task has happened: the
    /// standby Executor was gone before it began with the task, or a file of its root was replaced meanwhile.
    private func launch(
        _ task: SupervisedTask, _ specification: LaunchSpecification, isLast: Bool
    ) async throws(StartError) -> Bool {
        switch await outcome(of: task) {
        case .started: return true
        case .failed(.reported(let stage, let errno, let subject))
        where !isLast && TemplateError.step(stage: stage, errno, subject: subject).isReplacement:
            log.debug("a file was replaced while a task's root was made", ["task_id": task.id, "path": subject])
            await task.remove()
            return false
        case .failed(.reported(let stage, let errno, let subject)):
            await task.remove()
            throw StartError(stage: stage, errno, subject: subject, context: LaunchFailureContext(specification))
        case .failed(.executorGone(_, wasStandby: true)) where !task.hasStartedTask:
            log.warn(
                "the standby Executor ended before it started its task: spawning another",
                ["task_id": task.id, "executor_pid": task.executorPid])
            await task.remove()
            return false
        case .failed(.executorGone(let termination, _)):
            await task.remove()
            throw StartError(
                .transient, termination.failureOfStart(executor: task.executorPid, directory: task.directory.path))
        case nil where Task.isCancelled:
            // No host gets a handle of the task, so that it must not go on running.
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

    /// How the launch went; nil when its time is up, or the client has cancelled it.
    ///
    /// A standby Executor that does not begin with the task is killed. Only when it is gone counts what it has left in
    /// the directory: nothing can be added by then, so that no task is launched a second time.
    private func outcome(of task: SupervisedTask) async -> LaunchOutcome? {
        if task.waitsForStandby {
            let outcome = await task.waitForLaunch(atMost: Self.takeUpNanoseconds)
            if outcome != nil || Task.isCancelled { return outcome }
            if !task.hasStartedTask {
                log.warn(
                    "the standby Executor has not begun with its task within 3 s: it is killed",
                    ["task_id": task.id, "executor_pid": task.executorPid])
                task.killExecutor()
            }
        }
        return await task.waitForLaunch(atMost: Self.launchNanoseconds)
    }
}
