import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// What the Driver asks of a task's Executor, up to the task's removal.
extension SupervisedTask {
    /// Opens a session with an Executor that an earlier Driver had, and takes what it tells as the
    /// task's facts. Where it does not answer, the session opens with the first request that it does.
    func openSession() async {
        guard case .attaching(let executor, let handle) = current else { return }
        do throws(LinkError) {
            let facts = try await executor.link.openSession()
            take(.started(facts.pid > 0 ? facts : handle))
        } catch {
            log.warn("a recovered task's Executor does not answer yet", ["task_id": id, "reason": error.text])
            take(.noAnswer)
        }
    }

    /// Notes that the host knows this task, here and, once, in its directory. It may block its thread.
    package func claim(_ configuration: Int) {
        claims.claim(configuration)
        if claimNote.set(()) { noteClaim() }
    }

    /// The same for a call that goes on meanwhile.
    package func claimWithoutWaiting(_ configuration: Int) {
        claims.claim(configuration)
        if claimNote.set(()) { BlockingPool.shared.perform { [self] in noteClaim() } }
    }

    private func noteClaim() {
        defer { claimNoteIsOver.set(()) }
        do throws(SystemError) {
            _ = try OwnedDescriptor.open(
                directory.path + "/" + StateFile.claimed, O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
        } catch {
            // Without its directory, a later Driver does not find the task, and so does not end it as unclaimed.
            if error.errno == .noSuchFile || error.errno == .notDirectory { return }
            log.warn(
                "cannot note that the agent knows a task: unless the agent recovers it, the next driver ends it after "
                    + "orphan_grace; make room in state_dir", ["task_id": id, "error": error.text])
        }
    }

    /// Sends a signal to the task's process group.
    package func signal(_ number: Int32) async throws(TaskError) {
        guard end == nil else { throw .notRunning(id: id) }
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
        guard end == nil, let executor = current.executor else { return }
        let margin = UInt64(20_000_000_000)
        do throws(LinkError) {
            _ = try await executor.link.ask(.stop(signal: signal, timeoutNanoseconds: timeoutNanoseconds))
            let (most, overflow) = timeoutNanoseconds.addingReportingOverflow(margin)
            _ = await ended.wait(atMost: overflow ? .max : most, on: reactor)
            if end != nil || Task.isCancelled { return }
            log.error(
                "the Executor has not ended its task in time: it is killed",
                ["task_id": id, "executor_pid": executorPid])
        } catch {
            if case .gone = error { return await waitForKill() }
            // The caller does not wait for the answer any more; the Executor may still act on the request.
            if Task.isCancelled { return }
            log.error("cannot stop through the Executor: it is killed", ["task_id": id, "reason": error.text])
        }
        killExecutor()
        await waitForKill()
        if end == nil && !Task.isCancelled { throw .cannotBeKilled(id: id, executor: executorPid) }
    }

    /// Waits until the end is known, as long as the kernel may take to kill.
    private func waitForKill() async {
        _ = await ended.wait(atMost: 10_000_000_000, on: reactor)
    }

    /// Kills the Executor and, with the PID namespace, everything of its task.
    func killExecutor() { current.executor?.kill() }

    private func ask(_ request: ExecutorRequest) async throws(TaskError) -> ExecutorEvent {
        guard let executor = current.executor else { throw .notRunning(id: id) }
        do throws(LinkError) {
            return try await executor.link.ask(request)
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
        if await finished.wait(atMost: 5_000_000_000, on: reactor) == nil {
            log.warn(
                "the Executor of an ended task has not exited 5 s after the task's end (processes that SIGKILL does not "
                    + "end?): it is killed", ["task_id": id, "executor_pid": executorPid])
            killExecutor()
            _ = await finished.wait(atMost: 5_000_000_000, on: reactor)
        }
        // Otherwise the note could be made while the directory is removed, or in that of the next task of this id.
        if claimNote.set(()) { claimNoteIsOver.set(()) } else { _ = await claimNoteIsOver.wait() }
        let error = directory.remove()
        if let error { log.error("cannot remove a task's state directory", ["task_id": id, "error": error.text]) }
        return error
    }
}
