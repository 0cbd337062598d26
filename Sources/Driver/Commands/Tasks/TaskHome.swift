import EventLoop
import Glibc
import Host
import Planning
import Shared
import Supervision

/// A folder with one state folder for each task: the plugin's `state_dir`, or that of one `run`.
struct TaskHome: Equatable, Sendable {
    /// Its path.
    let stateFolder: String
    /// The run's own name, which ends in the tool's pid and a random number; nil for the plugin's.
    let run: String?

    /// Those of this host: the one that a person names, or else the plugin's usual one and that of every `run`.
    static func all(named folder: String?) -> [TaskHome] {
        if let folder {
            // A run's own directory, or what that run was given as --state-dir, is named as well.
            if let name = folder.pathParts.last, name.hasPrefix(RunFolders.namePrefix) {
                return [TaskHome(stateFolder: folder, run: String(name))]
            }
            return [TaskHome(stateFolder: folder, run: nil)] + runs(in: folder)
        }
        return [TaskHome(stateFolder: usual, run: nil)] + runs(in: usualParentOfRuns)
    }

    /// Where tasks of the plugin's are unless it is configured otherwise, and where `run` makes its directories.
    private static let usual = PluginConfiguration().stateFolder
    static let usualParentOfRuns = "/" + usual.pathParts.dropLast().joined(separator: "/")

    /// The directories that `all(named:)` looks into, as the end of a sentence that says that nothing is in them.
    static func places(named folder: String?) -> String {
        let path = folder ?? usual
        let isMissing = access(path, F_OK) != 0 && Errno.last == .noSuchFile
        return path + (isMissing ? " (which does not exist)" : "")
            + (folder == nil ? ", and no \"run\" in \(usualParentOfRuns)" : "")
    }

    private static func runs(in parent: String) -> [TaskHome] {
        (FolderList.names(in: parent) ?? []).filter { $0.hasPrefix(RunFolders.namePrefix) }.sorted().map {
            TaskHome(stateFolder: parent + (parent.hasSuffix("/") ? "" : "/") + $0, run: $0)
        }
    }

    /// The same, and nothing where the directory may be missing: a run may be gone by now, and where no task has ever
    /// run there is none. One that a person named must be there.
    func taskFolders(named folder: String?) throws(SystemError) -> [TaskFolder] {
        do throws(SystemError) {
            return try taskFolders()
        } catch {
            guard stateFolder != folder, error.errno == .noSuchFile else { throw error }
            return []
        }
    }

    /// What may be a task's folder in it.
    func taskFolders() throws(SystemError) -> [TaskFolder] {
        try StateDirectory(path: stateFolder).taskNames().map { TaskFolder(stateFolder: stateFolder, name: $0) }
    }
}
