import EventLoop
import Glibc
import Host
import Planning
import Shared
import Supervision

/// A directory with one state directory for each task: the plugin's `state_dir`, or that of one `run`.
struct TaskHome: Equatable, Sendable {
    /// Its path.
    let stateDirectory: String
    /// The run's own name, which ends in the tool's pid and a random number; nil for the plugin's.
    let run: String?

    /// Those of this host: the one that a person names, or else the plugin's usual one and that of every `run`.
    static func all(named directory: String?) -> [TaskHome] {
        if let directory {
            // A run's own directory, or what that run was given as --state-dir, is named as well.
            if let name = directory.pathComponents.last, name.hasPrefix(RunDirectories.namePrefix) {
                return [TaskHome(stateDirectory: directory, run: String(name))]
            }
            return [TaskHome(stateDirectory: directory, run: nil)] + runs(in: directory)
        }
        return [TaskHome(stateDirectory: usual, run: nil)] + runs(in: usualParentOfRuns)
    }

    /// Where tasks of the plugin's are unless it is configured otherwise, and where `run` makes its directories.
    private static let usual = PluginConfiguration().stateDirectory
    static let usualParentOfRuns = "/" + usual.pathComponents.dropLast().joined(separator: "/")

    /// The directories that `all(named:)` looks into, as the end of a sentence that says that nothing is in them.
    static func places(named directory: String?) -> String {
        let path = directory ?? usual
        let isMissing = access(path, F_OK) != 0 && Errno.last == .noSuchFile
        return path + (isMissing ? " (which does not exist)" : "")
            + (directory == nil ? ", and no \"run\" in \(usualParentOfRuns)" : "")
    }

    private static func runs(in parent: String) -> [TaskHome] {
        (DirectoryListing.names(in: parent) ?? []).filter { $0.hasPrefix(RunDirectories.namePrefix) }.sorted().map {
            TaskHome(stateDirectory: parent + (parent.hasSuffix("/") ? "" : "/") + $0, run: $0)
        }
    }

    /// The same. A missing directory counts as empty: a run may have ended by now, and before the first task there is
    /// no state directory. But a directory that the user has named must exist.
    func taskDirectories(named directory: String?) throws(SystemError) -> [TaskStateDirectory] {
        do throws(SystemError) {
            return try taskDirectories()
        } catch {
            guard stateDirectory != directory, error.errno == .noSuchFile else { throw error }
            return []
        }
    }

    /// What may be a task's directory in it.
    func taskDirectories() throws(SystemError) -> [TaskStateDirectory] {
        try StateDirectory(path: stateDirectory).taskNames().map {
            TaskStateDirectory(stateDirectory: stateDirectory, name: $0)
        }
    }
}
