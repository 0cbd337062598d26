import CLinux
import Glibc
import Shared

/// Tasks that an earlier Driver started become known again.
extension TaskTable {
    /// Makes a task of an earlier Driver's known again, by its handle; where it is known, nothing is to
    /// be done. Several callers may do so at once.
    func recover(
        id: String, name: String, _ state: HandleState, to action: TaskAction = .recover
    ) async throws(TaskError) -> SupervisedTask {
        while true {
            let mine = OneShot<Void>()
            let found = entries.withLock { entries -> Entry? in
                if let entry = entries[id] { return entry }
                entries[id] = .recovering(done: mine)
                return nil
            }
            switch found {
            case .known(let task): return task
            case .starting: throw .starting(id: id, action)
            case .recovering(let done):
                if await done.wait() == nil { throw .unrecoverable(id: id, reason: "the client gave up") }
            case nil:
                defer { mine.set(()) }
                do throws(TaskError) {
                    let task = try await attach(id: id, name: name, state)
                    entries.withLock { $0[id] = .known(task) }
                    return task
                } catch {
                    _ = entries.withLock { $0.removeAndShrink(id) }
                    throw error
                }
            }
        }
    }

    /// A task that only an earlier Driver knew, by what that left in the state folder; nil where there
    /// is nothing.
    func adopt(
        id: String, stateFolder: String, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask? {
        switch entries.withLock({ $0[id] }) {
        case .known(let task): return task
        case .starting: throw .starting(id: id, action)
        case .recovering, nil: break
        }
        guard let name = try? stateFolderName(ofTask: id) else { return nil }
        let identity: HandleState?
        do throws(SystemError) {
            identity = try HandleState.identity(in: TaskFolder(stateFolder: stateFolder, name: name))
        } catch {
            throw .cannotAttach(id: id, error)
        }
        guard let state = identity else { return nil }
        return try await recover(id: id, name: state.taskName, state, to: action)
    }

    /// Adopts a task to end it. Where its Executor lives and cannot be reached through the folder, it is
    /// killed, and the task with it: who stops or destroys a task wants it gone.
    func adoptToEnd(
        id: String, stateFolder: String, to action: TaskAction
    ) async throws(TaskError) -> SupervisedTask? {
        do throws(TaskError) {
            return try await adopt(id: id, stateFolder: stateFolder, to: action)
        } catch {
            guard case .cannotAttach(_, let cause) = error, cause.errno != .busy,
                let name = try? stateFolderName(ofTask: id)
            else { throw error }
            // Where it is gone by now, by itself or by another call or sweep, the task has just ended.
            if let state = HandleState(identityIn: TaskFolder(stateFolder: stateFolder, name: name)),
                let process = try held(state, id: id)
            {
                log.error(
                    "cannot reach the Executor of a task that is to end: it is killed",
                    ["task_id": id, "reason": error.text])
                await process.kill(on: reactor)
            }
            return try await adopt(id: id, stateFolder: stateFolder, to: action)
        }
    }

    private func attach(id: String, name: String, _ state: HandleState) async throws(TaskError) -> SupervisedTask {
        executorCgroup.note(forTaskIn: state.cgroup)
        let folder = state.taskFolder
        let sameBoot = state.bootID == Boot.id
        if sameBoot, let process = try held(state, id: id) {
            let outcome = try recoveryOutcome(folder, sameBoot: true, executor: process.pid, id: id)
            if case .running = outcome { return try await attach(process, id: id, name: name, state) }
            return ended(outcome, id: id, name: name, state)
        }
        let outcome = try recoveryOutcome(folder, sameBoot: sameBoot, executor: nil, id: id)
        return ended(outcome, id: id, name: name, state)
    }

    private func held(_ state: HandleState, id: String) throws(TaskError) -> HeldProcess? {
        do throws(SystemError) {
            return try HeldProcess.open(pid: state.executorPid, startTime: state.executorStartTime)
        } catch {
            throw .cannotAttach(id: id, error)
        }
    }

    /// A record that cannot be read for a shortage of the moment is none that is lost: the client asks again.
    private func recoveryOutcome(
        _ folder: TaskFolder, sameBoot: Bool, executor: Int32?, id: String
    ) throws(TaskError) -> Recovery {
        let record: Result<ExitRecord?, RecordError>
        do throws(RecordError) {
            record = .success(try folder.readRecord())
        } catch {
            if case .unreadable(let cause) = error, StartError.mayPass(cause.errno) {
                throw .cannotAttach(id: id, cause)
            }
            record = .failure(error)
        }
        return Recovery.outcome(
            sameBoot: sameBoot, executor: executor, record: record, now: Int64(bitPattern: exec2_realtime()))
    }

    private func ended(_ outcome: Recovery, id: String, name: String, _ state: HandleState) -> SupervisedTask {
        let end: TaskEnd
        switch outcome {
        case .ended(let known): end = known
        case .supervisorLost(let lost):
            AbandonedCgroup.empty(state.cgroup)
            end = lost
        case .running: preconditionFailure("a running task is attached, not ended")
        }
        log.info(
            "recovered a task that had ended", ["task_id": id, "exit_code": end.exitCode, "error": end.error ?? ""])
        return SupervisedTask(state, id: id, name: name, end: end, reactor: reactor, events: events, log: log)
    }

    /// Another Driver, or this one's sweep, may be just letting go of the session.
    private func openPipes(of folder: TaskFolder, id: String) async throws(TaskError) -> SessionPipes {
        var attempts = 10
        while true {
            do throws(SystemError) {
                return try SessionPipes(folder)
            } catch {
                attempts -= 1
                guard error.errno == .busy, attempts > 0 else { throw .cannotAttach(id: id, error) }
            }
            do { try await Task.sleep(nanoseconds: 20_000_000) } catch { attempts = 1 }
        }
    }

    private func attach(
        _ process: consuming HeldProcess, id: String, name: String, _ state: HandleState
    ) async throws(TaskError) -> SupervisedTask {
        let pid = process.pid
        let pipes = try await openPipes(of: state.taskFolder, id: id)
        let link = ExecutorLink(
            pipes, session: UInt64.random(in: 1...UInt64.max), isOpen: false, executor: pid, reactor: reactor, log: log)
        let task = SupervisedTask(
            id: id, name: name, folder: state.taskFolder, executor: process.asExecutor(), link: link,
            recovered: StartedTask(pid: state.taskPid, startedAt: state.startedAt), cgroup: state.cgroup,
            reactor: reactor, events: events, log: log)
        link.discardEarlier()
        do throws(SystemError) {
            try task.watch()
        } catch {
            throw .cannotAttach(id: id, error)
        }
        await task.openSession()
        // It may have ended before the watch began, its bell unheard. A damaged record says nothing as
        // long as the Executor lives: the task may still run.
        if task.executorGone.current == nil { task.takeRecord() }
        watchLogs(of: task, recovered: true)
        log.info("recovered a running task", ["task_id": id, "executor_pid": pid])
        return task
    }
}
