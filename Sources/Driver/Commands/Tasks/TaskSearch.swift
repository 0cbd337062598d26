import Shared
import Supervision

/// A task that a person names, among those whose state directories are on this host.
enum TaskSearch {
    struct Candidate: Equatable, Sendable {
        let state: HandleState
        /// The run's own name; nil for a task of the plugin's.
        var run: String?

        /// What it is called in messages, and what finds it and no other.
        var title: String { run ?? (state.taskID.isEmpty ? state.directory : state.taskID) }
    }

    struct Failure: Error, Equatable {
        let text: String

        init(_ text: String) { self.text = text }
    }

    /// Those that are meant: by the task's id, its directory's name or its name, by the beginning of its id (so of its
    /// allocation's), or by a run's name or pid. Whole names win over beginnings.
    static func matches(_ wanted: String, among candidates: [Candidate]) -> [Candidate] {
        let whole = candidates.filter { candidate in
            if let run = candidate.run {
                return run == wanted || run.hasPrefix(RunDirectories.namePrefix + wanted + "-")
            }
            return [candidate.state.taskID, candidate.state.directory, candidate.state.taskName].contains(wanted)
        }
        if !whole.isEmpty { return whole }
        return candidates.filter { $0.run == nil && $0.state.taskID.hasPrefix(wanted) }
    }

    /// The one task that is meant, of those that run.
    static func find(_ wanted: String, in stateDirectory: String?) throws(Failure) -> Candidate {
        let running: [Candidate]
        do throws(SystemError) {
            running = try Self.running(in: stateDirectory)
        } catch {
            throw Failure(error.text)
        }
        let found = matches(wanted, among: running)
        switch found.count {
        case 1: return found[0]
        case 0:
            let others =
                running.isEmpty
                ? "nothing runs in \(TaskHome.places(named: stateDirectory))" : "running tasks: \(list(running))"
            throw Failure("no task \(quoted(wanted)) runs: \(others)")
        default: throw Failure("\(quoted(wanted)) is ambiguous; it matches \(list(found))")
        }
    }

    private static func list(_ candidates: [Candidate]) -> String {
        candidates.map(\.title).sorted().joined(separator: ", ")
    }

    /// Every task that runs, in no order. Fails where a directory that a person named cannot be read.
    /// - Parameter stateDirectory: As `TaskHome.all(named:)` takes it.
    static func running(in stateDirectory: String?) throws(SystemError) -> [Candidate] {
        var candidates: [Candidate] = []
        for home in TaskHome.all(named: stateDirectory) {
            for directory in try home.taskDirectories(named: stateDirectory) {
                guard let state = HandleState(identityIn: directory), (try? state.executorLives) == true else {
                    continue
                }
                candidates.append(Candidate(state: state, run: home.run))
            }
        }
        return candidates
    }
}
