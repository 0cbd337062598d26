import Glibc
import Shared

/// A task that a person names, among those whose state folders are on this host.
enum TaskSearch {
    struct Candidate: Equatable, Sendable {
        let state: HandleState
        /// Of `run`: the run's own name, which ends in the tool's pid and a random number. Nil for a task of
        /// the plugin's.
        var run: String?

        /// What it is called in messages.
        var title: String { run ?? state.taskID }
    }

    struct Failure: Error, Equatable {
        let text: String

        init(_ text: String) { self.text = text }
    }

    /// Those that are meant: by the task's id, its folder's name or its name, by the beginning of its id (so of its
    /// allocation's), or by a run's name or pid. Whole names win over beginnings.
    static func matches(_ wanted: String, among candidates: [Candidate]) -> [Candidate] {
        let whole = candidates.filter { candidate in
            if let run = candidate.run {
                return run == wanted || run.hasPrefix(RunFolders.namePrefix + wanted + "-")
            }
            return [candidate.state.taskID, candidate.state.folder, candidate.state.taskName].contains(wanted)
        }
        if !whole.isEmpty { return whole }
        return candidates.filter { $0.run == nil && $0.state.taskID.hasPrefix(wanted) }
    }

    /// The one task that is meant, of those that run.
    static func find(_ wanted: String, in stateFolder: String?) throws(Failure) -> Candidate {
        let running = candidates(in: stateFolder)
        let found = matches(wanted, among: running)
        switch found.count {
        case 1: return found[0]
        case 0:
            let others = running.isEmpty ? "none runs here" : "those that run are \(list(running))"
            throw Failure("no task \(quoted(wanted)) runs: \(others)")
        default: throw Failure("\(quoted(wanted)) may be any of \(list(found)): say which")
        }
    }

    private static func list(_ candidates: [Candidate]) -> String {
        candidates.map(\.title).sorted().joined(separator: ", ")
    }

    private static func candidates(in stateFolder: String?) -> [Candidate] {
        if let stateFolder { return running(in: stateFolder, run: nil) }
        let usual = PluginConfiguration().stateFolder
        let parent = String(usual[..<(usual.lastIndex(of: "/") ?? usual.startIndex)])
        let runs = (FolderList.names(in: parent) ?? []).filter { $0.hasPrefix(RunFolders.namePrefix) }
        return running(in: usual, run: nil) + runs.flatMap { running(in: parent + "/" + $0, run: $0) }
    }

    private static func running(in stateFolder: String, run: String?) -> [Candidate] {
        (FolderList.names(in: stateFolder) ?? []).compactMap { name in
            guard let state = HandleState(identityIn: TaskFolder(stateFolder: stateFolder, name: name)),
                state.bootID == Boot.id,
                let executor = try? HeldProcess.open(pid: state.executorPid, startTime: state.executorStartTime)
            else { return nil }
            _ = consume executor
            return Candidate(state: state, run: run)
        }
    }
}
