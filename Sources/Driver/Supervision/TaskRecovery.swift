import CLinux
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// Tasks that an earlier Driver started become known again.
extension TaskTable {
    /// Makes a task of an earlier Driver's known again, by its handle; where it is known, nothing is to
    /// be done. Several callers may do so at once.
    package func recover(
        id: String, name: String, _ state: HandleState, to action: TaskAction = .recover
    ) async throws(TaskError) -> SupervisedTask {
        while true {
            let mine = Transition(cgroup: state.cgroup)
            let found = entries.withLock { entries -> Entry? in
                entries.take(id, .claimed(.recover, mine)) ? nil : entries[id]
            }
            switch found {
            case .known(let task): return task
            case .starting: throw .starting(id: id, action)
            case .recovering(let other), .ending(let other):
                if await other.done.wait() == nil { throw .unrecoverable(id: id, reason: "the client gave up") }
            case nil:
                defer { mine.done.set(()) }
                do throws(TaskError) {
                    let task = try await outlasting(id) { () throws(TaskError) in
                        try await attach(id: id, name: name, state, to: action)
                    }
                    take(id, .settled(mine, task))
                    unreached.withLock { _ = $0.removeAndShrink(id) }
                    return task
                } catch {
                    if case .cannotAttach = error { unreached.withLock { $0[id] = state } }
                    take(id, .givenUp(mine))
                    cleanWhenIdle()
                    throw error
                }
            }
        }
    }

    /// A task that only an earlier Driver knew, by what that left in the state directory; nil where there
    /// is nothing.
    package func adopt(
        id: String, stateDirectory: String, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask? {
        switch entries.withLock({ $0[id] }) {
        case .known(let task): return task
        case .starting: throw .starting(id: id, action)
        case .ending(let other): _ = await other.done.wait()
        case .recovering, nil: break
        }
        return try await withTaskExecutorPreference(BlockingPool.recoveries) { () async throws(TaskError) in
            try await adoptLeft(id: id, stateDirectory: stateDirectory, to: action)
        }
    }

    private func adoptLeft(
        id: String, stateDirectory: String, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask? {
        guard let state = try identity(id: id, stateDirectory: stateDirectory, to: action) else { return nil }
        do throws(TaskError) {
            return try await recover(id: id, name: state.taskName, state, to: action)
        } catch {
            // There is nothing to stop or to destroy.
            if case .gone = error, action != .recover { return nil }
            throw error
        }
    }

    /// Who has a task: as its directory tells, or else the handle of a recovery that failed.
    private func identity(id: String, stateDirectory: String, to action: TaskAction) throws(TaskError) -> HandleState? {
        guard let name = try? stateDirectoryName(ofTask: id) else { return nil }
        do throws(SystemError) {
            let found = try HandleState.identity(in: TaskStateDirectory(stateDirectory: stateDirectory, name: name))
            return found ?? unreached.withLock { $0[id] }
        } catch {
            throw .cannotAttach(id: id, action, error)
        }
    }

    /// Adopts a task to end it. Where its Executor lives and cannot be reached through the directory, it is
    /// killed, and the task with it: who stops or destroys a task wants it gone.
    package func adoptToEnd(
        id: String, stateDirectory: String, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask? {
        do throws(TaskError) {
            return try await adopt(id: id, stateDirectory: stateDirectory, to: action)
        } catch {
            guard case .cannotAttach(_, _, let cause) = error, cause.errno != .busy else { throw error }
            try await withTaskExecutorPreference(BlockingPool.recoveries) { () async throws(TaskError) in
                try await killUnreachable(id: id, stateDirectory: stateDirectory, to: action, reason: error.text)
            }
            return try await adopt(id: id, stateDirectory: stateDirectory, to: action)
        }
    }

    private func killUnreachable(
        id: String, stateDirectory: String, to action: TaskAction, reason: String
    ) async throws(TaskError) {
        try await outlasting(id) { () throws(TaskError) in
            // Where it is gone by now, by itself or by another call or sweep, the task has just ended.
            guard let state = try identity(id: id, stateDirectory: stateDirectory, to: action),
                let process = try held(state, id: id, to: action)
            else { return }
            log.error(
                "cannot reach the Executor of a task that is to end: it is killed", ["task_id": id, "reason": reason])
            await process.kill(on: reactor)
        }
    }

    /// Tries again as long as something runs out that may be there again in a moment, descriptors or memory: to
    /// fail would be to have the host end a task that runs and start it anew.
    func outlasting<Success>(
        _ id: String, _ attempt: () async throws(TaskError) -> Success
    ) async throws(TaskError) -> Success {
        let deadline = exec2_monotonic() + Self.shortageNanoseconds
        var isLogged = false
        while true {
            do throws(TaskError) {
                return try await attempt()
            } catch {
                guard case .cannotAttach(_, _, let cause) = error, StartError.mayPass(cause.errno),
                    exec2_monotonic() < deadline, !Task.isCancelled
                else { throw error }
                if !isLogged {
                    log.warn(
                        "cannot recover the task yet: the host is short of a resource; retrying for 30 s",
                        ["task_id": id, "reason": cause.text])
                    isLogged = true
                }
                _ = await OneShot<Void>().wait(atMost: Self.shortagePauseNanoseconds, on: reactor)
            }
        }
    }

    /// For how long a shortage is outlasted: a host waits with its start until it has asked for every task.
    private static let shortageNanoseconds: UInt64 = 30_000_000_000
    private static let shortagePauseNanoseconds: UInt64 = 100_000_000

    /// Makes a task of what an earlier Driver left of it, with a session where its Executor lives.
    func attach(
        id: String, name: String, _ state: HandleState, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask {
        executorCgroup.note(forTaskIn: state.cgroup)
        let sameBoot = state.bootID == Boot.id
        let process = try held(state, id: id, to: action)
        let executorLives = process != nil
        let outcome: Recovery
        do throws(SystemError) {
            outcome = try self.outcome(state.taskDirectory, sameBoot: sameBoot, executorLives: executorLives)
        } catch {
            throw .cannotAttach(id: id, action, error)
        }
        let end: TaskEnd
        switch outcome {
        case .gone(let reason): throw .gone(id: id, reason: reason)
        case .ended(let known): end = known
        case .supervisorLost(let lost):
            AbandonedCgroup.empty(state.cgroup)
            end = lost
        case .running, .runningWithoutDirectory:
            guard let process else { preconditionFailure("a task runs only under an Executor that lives") }
            return try await attach(process, id: id, name: name, state, to: action, hasDirectory: outcome == .running)
        }
        log.info(
            "recovered a task that had ended", ["task_id": id, "exit_code": end.exitCode, "error": end.error ?? ""])
        return SupervisedTask(state, id: id, name: name, end: end, reactor: reactor, events: events, log: log)
    }

    private func held(_ state: HandleState, id: String, to action: TaskAction) throws(TaskError) -> HeldProcess? {
        do throws(SystemError) {
            return try state.heldExecutor()
        } catch {
            throw .cannotAttach(id: id, action, error)
        }
    }

    /// Fails where a shortage keeps the record from being read: that does not make it a lost one.
    private func outcome(
        _ directory: TaskStateDirectory, sameBoot: Bool, executorLives: Bool
    ) throws(SystemError) -> Recovery {
        let hasDirectory = try directory.exists
        let record: Result<ExitRecord?, RecordError>
        do throws(RecordError) {
            record = .success(try directory.readRecord())
        } catch {
            if case .unreadable(let cause) = error, StartError.mayPass(cause.errno) { throw cause }
            record = .failure(error)
        }
        return Recovery.outcome(
            sameBoot: sameBoot, hasDirectory: hasDirectory, record: record, executorLives: executorLives,
            now: Int64(bitPattern: exec2_realtime()))
    }

    /// Another Driver, or this one's sweep, may be just letting go of the session: it is asked for again for a moment.
    private func openPipes(
        of directory: TaskStateDirectory, executor: Int32
    ) async throws(SystemError) -> SessionPipes {
        var attempts = 10
        while true {
            do throws(SystemError) {
                return try SessionPipes(directory, orHeldBy: executor)
            } catch {
                attempts -= 1
                guard error.errno == .busy, attempts > 0 else { throw error }
            }
            do { try await Task.sleep(nanoseconds: 20_000_000) } catch { attempts = 1 }
        }
    }

    private func attach(
        _ process: consuming HeldProcess, id: String, name: String, _ state: HandleState, to action: TaskAction,
        hasDirectory: Bool
    ) async throws(TaskError) -> SupervisedTask {
        let pid = process.pid
        let pipes: SessionPipes
        do throws(SystemError) {
            pipes = try await openPipes(of: state.taskDirectory, executor: pid)
        } catch {
            throw .cannotAttach(id: id, action, error)
        }
        let damage = pipes.damage
        let link = ExecutorLink(
            pipes, session: UInt64.random(in: 1...UInt64.max), isOpen: false, executor: pid, reactor: reactor, log: log)
        let task = SupervisedTask(
            id: id, name: name, directory: state.taskDirectory, executor: process.asExecutor(), link: link,
            recovered: StartedTask(pid: state.taskPid, startedAt: state.startedAt), cgroup: state.cgroup,
            reactor: reactor, events: events, log: log)
        link.discardEarlier()
        do throws(SystemError) {
            try task.watch()
        } catch {
            throw .cannotAttach(id: id, action, error)
        }
        await task.openSession()
        // It may have ended before we watched, so that `exited` was missed. A damaged record says nothing as long as
        // the Executor lives: the task may still run.
        task.takeRecord()
        BlockingPool.shared.perform(in: .starts) { [self] in watchLogs(of: task, recovered: true) }
        switch damage {
        case nil: log.info("recovered a running task", ["task_id": id, "executor_pid": pid])
        case let damage? where hasDirectory:
            log.warn(
                "recovered a running task whose state directory is damaged: its exit status may be lost",
                ["task_id": id, "executor_pid": pid, "path": state.taskDirectory.path, "reason": damage.text])
        case _?:
            log.warn(
                "recovered a running task whose state directory was removed: its exit status will be lost",
                ["task_id": id, "executor_pid": pid, "path": state.taskDirectory.path])
        }
        return task
    }
}
