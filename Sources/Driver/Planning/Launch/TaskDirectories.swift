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

    /// What the client has mounted there, to be mounted anew where it has not: the task's directory, and in that the
    /// shared one and the secrets, which may be a file system of their own.
    func mounts(allocDir: String, taskName: String) -> [TaskDirectory] {
        let parts = task.pathComponents
        guard areMounts, let name = parts.last else { return [] }
        let root = "/" + parts.dropLast().joined(separator: "/")
        return [
            TaskDirectory(allocDir: allocDir, source: taskName, root: root, inside: String(name), isMade: false),
            TaskDirectory(allocDir: allocDir, source: "alloc", root: root, inside: name + "/alloc", isMade: true),
            TaskDirectory(
                allocDir: allocDir, source: taskName + "/secrets", root: root, inside: name + "/secrets", isMade: true),
        ]
    }
}

/// One of the client's bind mounts of a task's directories.
struct TaskDirectory: Equatable, Sendable {
    let allocDir: String
    /// Below `allocDir`.
    let source: String
    /// What leads to the client's place for the task.
    let root: String
    /// Below `root`.
    let inside: String
    /// Made by the task's user where it is missing.
    let isMade: Bool

    var path: String { joinedPath(root, inside) }
}
