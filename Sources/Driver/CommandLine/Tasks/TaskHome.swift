import Glibc
import Shared

/// A folder with one state folder for each task: the plugin's `state_dir`, or that of one `run`.
struct TaskHome: Equatable, Sendable {
    /// Its path.
    let stateFolder: String
    /// The run's own name, which ends in the tool's pid and a random number; nil for the plugin's.
    let run: String?

    /// Those of this host: the one that a person names, or else the plugin's usual one and that of every `run`.
    static func all(named folder: String?) -> [TaskHome] {
        if let folder { return [TaskHome(stateFolder: folder, run: nil)] }
        let usual = PluginConfiguration().stateFolder
        let parent = String(usual[..<(usual.lastIndex(of: "/") ?? usual.startIndex)])
        let runs = (FolderList.names(in: parent) ?? []).filter { $0.hasPrefix(RunFolders.namePrefix) }
        return [TaskHome(stateFolder: usual, run: nil)]
            + runs.map { TaskHome(stateFolder: parent + "/" + $0, run: $0) }
    }

    /// What may be a task's folder in it. Of those that begin with a dot a Driver is just making one.
    func taskFolders() throws(SystemError) -> [TaskFolder] {
        guard let names = FolderList.names(in: stateFolder) else {
            throw SystemError("read the state folder", stateFolder)
        }
        return names.filter { !$0.hasPrefix(".") }.map { TaskFolder(stateFolder: stateFolder, name: $0) }
    }
}
