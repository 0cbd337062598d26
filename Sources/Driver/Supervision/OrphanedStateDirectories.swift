import EventLoop
import HCLog
import Planning
import Shared

/// The state directories that earlier Drivers left, until it is known what becomes of each.
final class OrphanedStateDirectories: Sendable {
    private struct State {
        var stateDirectory: String?
        var names: Set<String> = []
    }

    private let state = Mutex(State())

    /// Those that are left. The first call for a state directory looks into it: what comes later is this
    /// Driver's own.
    func names(in stateDirectory: String) -> Set<String> {
        state.withLock { state in
            if state.stateDirectory != stateDirectory {
                state.stateDirectory = stateDirectory
                state.names = Set(DirectoryListing.names(in: stateDirectory) ?? [])
            }
            return state.names
        }
    }

    /// A task of this Driver's by now, or gone.
    func drop(_ name: String) { state.withLock { _ = $0.names.remove(name) } }
}

extension TaskTable {
    /// Ends tasks of earlier Drivers that live in a cgroup in which one is to be started.
    ///
    /// A host has one task at a time in a cgroup. One that it has no handle of, since the Driver died
    /// before it could answer, would run beside the one that the host starts in its stead, and take
    /// that along when the cgroup is emptied at its end.
    func endOrphans(in cgroup: String, stateDirectory: String) async throws(StartError) {
        guard !cgroup.isEmpty else { return }
        for name in predecessors.names(in: stateDirectory) {
            let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: name)
            guard directory.exists, let state = HandleState(identityIn: directory) else {
                if !directory.exists { predecessors.drop(name) }
                continue
            }
            if try await isSettled(state.taskID) {
                predecessors.drop(name)
                continue
            }
            guard state.cgroup == cgroup else { continue }
            do throws(SystemError) {
                guard try state.executorLives else { continue }
            } catch {
                throw StartError(error)
            }
            log.warn(
                "ending a task of an earlier driver: another is started in its cgroup",
                ["task_id": state.taskID, "cgroup": cgroup])
            do throws(TaskError) {
                try await destroy(state.taskID, force: true, stateDirectory: stateDirectory)
            } catch {
                throw StartError(
                    .transient,
                    "cannot end task \(quoted(state.taskID)) of an earlier driver, which lives in the cgroup \(cgroup) that "
                        + "this task is to be started in: \(error.text)")
            }
            predecessors.drop(name)
        }
    }
}
