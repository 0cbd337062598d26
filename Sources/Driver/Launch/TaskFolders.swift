/// Where a task's own folders are.
///
/// The client bind-mounts them for each task at `<mounts>/<alloc id>-<task>/{local,secrets,tmp,alloc}`
/// and says so in the task's environment, which a job can overwrite. That is believed only where it
/// has the client's own form: what is unveiled and mounted must not be the job's to choose.
struct TaskFolders: Equatable, Sendable {
    /// The working folder, and what relative paths to unveil are relative to.
    let task: String
    let local: String
    let secrets: String
    let tmp: String
    let alloc: String

    init(environment: [String: String], allocDir: String, allocID: String, taskName: String) {
        let suffix = "/local"
        if let local = environment["NOMAD_TASK_DIR"], local.hasSuffix(suffix) {
            let parent = String(local.dropLast(suffix.utf8.count))
            let isClients =
                parent.utf8.first == UInt8(ascii: "/") && !allocID.isEmpty
                && parent.pathParts.last == "\(allocID)-\(taskName)"
                && !parent.pathParts.contains("..")
            if isClients {
                self.init(task: parent, alloc: parent + "/alloc")
                return
            }
        }
        self.init(task: allocDir + "/" + taskName, alloc: allocDir + "/alloc")
    }

    private init(task: String, alloc: String) {
        self.task = task
        local = task + "/local"
        secrets = task + "/secrets"
        tmp = task + "/tmp"
        self.alloc = alloc
    }

    var all: [String] { [local, secrets, tmp, alloc] }

    /// Which of the directories that the task's programs write to a path is below; nil where it is below none.
    func directory(above path: String) -> String? {
        [task, alloc].first { path.utf8.starts(with: ($0 + "/").utf8) }
    }
}
