/// Where a task's own directories are.
///
/// The client bind-mounts them for each task at `<mounts>/<alloc id>-<task>/{local,secrets,tmp,alloc}`
/// and says so in the task's environment, which a job can overwrite. That is believed only where it
/// has the client's own form: what is unveiled and mounted must not be the job's to choose.
package struct TaskDirectories: Equatable, Sendable {
    /// The working directory, and what relative paths to unveil are relative to.
    package let task: String
    package let local: String
    package let secrets: String
    package let tmp: String
    package let alloc: String
    /// Whether they are the client's mounts, and not in the allocation's directory itself.
    let areMounts: Bool

    package init(environment: [String: String], allocDir: String, allocID: String, taskName: String) {
        let suffix = "/local"
        if let local = environment["NOMAD_TASK_DIR"], local.hasSuffix(suffix) {
            let parent = String(local.dropLast(suffix.utf8.count))
            let isClients =
                parent.utf8.first == UInt8(ascii: "/") && !allocID.isEmpty
                && parent.pathComponents.last == "\(allocID)-\(taskName)"
                && !parent.pathComponents.contains("..")
            if isClients {
                self.init(task: parent, alloc: parent + "/alloc", areMounts: true)
                return
            }
        }
        self.init(task: allocDir + "/" + taskName, alloc: allocDir + "/alloc", areMounts: false)
    }

    private init(task: String, alloc: String, areMounts: Bool) {
        self.areMounts = areMounts
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
