import HCLog
import Host
import Planning
import Shared

/// The state directories that earlier Drivers left, until it is known what becomes of each.
final class OrphanedStateDirectories: Sendable {
    private struct State {
        var stateDirectory: String?
        var names: Set<String> = []
    }

    private let state = Mutex(State())

    /// Those that are left. The first call for a state directory that succeeds lists it: what comes later is this
    /// Driver's own. Fails where the directory cannot be listed: to take that for an empty one would be to start a task
    /// in the cgroup of one that runs.
    func names(in stateDirectory: String) throws(SystemError) -> Set<String> {
        try state.withLock { (state) throws(SystemError) in
            if state.stateDirectory != stateDirectory {
                state.names = Set(try Self.list(stateDirectory))
                state.stateDirectory = stateDirectory
            }
            return state.names
        }
    }

    private static func list(_ stateDirectory: String) throws(SystemError) -> [String] {
        do throws(SystemError) {
            return try StateDirectory(path: stateDirectory).names()
        } catch {
            if error.errno == .noSuchFile { return [] }
            throw error
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
        for name in try orphans(in: stateDirectory) {
            let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: name)
            let found: HandleState?
            do throws(SystemError) {
                found = try HandleState.identity(in: directory)
                if found == nil, try !directory.exists { orphanedDirectories.drop(name) }
            } catch {
                throw StartError(error)
            }
            guard let state = found else { continue }
            if try await isSettled(state.taskID) {
                orphanedDirectories.drop(name)
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
            orphanedDirectories.drop(name)
        }
    }

    private func orphans(in stateDirectory: String) throws(StartError) -> Set<String> {
        do throws(SystemError) {
            return try orphanedDirectories.names(in: stateDirectory)
        } catch {
            // Where the state directory cannot be used at all, this says why, and what to do about it.
            try prepareStateDirectory(stateDirectory)
            throw StartError(error)
        }
    }
}
