import CLinux
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// Tasks that no host has a handle of are ended, and none is started beside them in their cgroup.
extension TaskTable {
    /// Ends a known task that no host has a handle of. It cannot be recovered meanwhile. False if it is not known any
    /// more, or if another call ends it already.
    @discardableResult
    package func end(_ task: SupervisedTask, signal: Int32, timeoutNanoseconds: UInt64) async throws(TaskError) -> Bool
    {
        let mine = Transition(cgroup: task.cgroup)
        guard take(task.id, .ending(task, mine)) else { return false }
        try await end(task, mine, signal: signal, timeoutNanoseconds: timeoutNanoseconds)
        return true
    }

    /// Claims the entry of a task that is not known, so that the task can be examined and ended and is not recovered
    /// meanwhile; nil if another call has claimed it. To be released by `end` or `leave`.
    func beginEnding(_ state: HandleState) -> Transition? {
        let mine = Transition(cgroup: state.cgroup)
        return take(state.taskID, .claimed(.end, mine)) ? mine : nil
    }

    /// Gives back what `beginEnding` has taken.
    func leave(_ id: String, _ mine: Transition) {
        take(id, .givenUp(mine))
        mine.done.set(())
    }

    /// Ends a task whose entry `beginEnding` has taken.
    func end(
        _ state: HandleState, _ mine: Transition, signal: Int32, timeoutNanoseconds: UInt64
    ) async throws(TaskError) {
        let task: SupervisedTask
        do throws(TaskError) {
            task = try await outlasting(state.taskID) { () throws(TaskError) in
                try await attach(id: state.taskID, name: state.taskName, state, to: .stop)
            }
        } catch {
            leave(state.taskID, mine)
            if case .gone = error { return }
            throw error
        }
        try await end(task, mine, signal: signal, timeoutNanoseconds: timeoutNanoseconds)
    }

    private func end(
        _ task: SupervisedTask, _ mine: Transition, signal: Int32, timeoutNanoseconds: UInt64
    ) async throws(TaskError) {
        defer { mine.done.set(()) }
        do throws(TaskError) {
            try await task.stop(signal: signal, timeoutNanoseconds: timeoutNanoseconds)
            if let error = await task.remove() { throw .notRemoved(id: task.id, error) }
        } catch {
            // It can be asked for again.
            take(task.id, .settled(mine, task))
            throw error
        }
        take(task.id, .givenUp(mine))
        cleanWhenIdle()
        memory.taskIsGone()
    }

    // MARK: Before a start

    private enum Occupant {
        case passing(Transition)
        case abandoned(SupervisedTask)
    }

    /// Prepares a cgroup for a start: waits until this Driver's other starts, recoveries and ends in it are over, and
    /// ends the task in it that no host waits for.
    ///
    /// A host has one task at a time in a cgroup, and waits for its end. Where its agent was killed before it could
    /// read the answer to StartTask, the next agent finds this Driver, has no handle, and starts the task afresh.
    ///
    /// - Parameter earlier: Starts in the same cgroup that had begun before.
    func clear(_ cgroup: String, after earlier: [Transition]) async throws(StartError) {
        guard !cgroup.isEmpty else { return }
        for start in earlier { try await settled(start) }
        while let occupant = occupant(of: cgroup) {
            switch occupant {
            case .passing(let transition): try await settled(transition)
            case .abandoned(let task):
                log.warn(
                    "ending a task that nobody waits for: another is started in its cgroup",
                    ["task_id": task.id, "cgroup": cgroup])
                do throws(TaskError) {
                    try await end(task, signal: SIGKILL, timeoutNanoseconds: 0)
                } catch {
                    throw StartError(
                        .transient,
                        "cannot end task \(quoted(task.id)), which nobody waits for and which lives in the cgroup "
                            + "\(cgroup) that this task is to be started in: \(error.text)")
                }
            }
        }
    }

    private func occupant(of cgroup: String) -> Occupant? {
        entries.withLock { entries in
            for entry in entries.entries(in: cgroup) {
                switch entry {
                case .recovering(let transition), .ending(let transition): return .passing(transition)
                case .known(let task) where task.end == nil && !task.claims.isWaitedFor: return .abandoned(task)
                default: continue
                }
            }
            return nil
        }
    }

    /// Whether a task is known, once no other call is just making something else of it.
    func isSettled(_ id: String) async throws(StartError) -> Bool {
        while true {
            switch entries.withLock({ $0[id] }) {
            case nil: return false
            case .known, .starting: return true
            case .recovering(let transition), .ending(let transition): try await settled(transition)
            }
        }
    }

    private func settled(_ transition: Transition) async throws(StartError) {
        if await transition.done.wait() == nil { throw .givenUp }
    }
}
