import CLinux
import CMessages
import SharedEmbedded

/// The task's own directories, where the client's bind mounts of them are missing: after a reboot of the host the
/// client does not repeat them, and their place is an empty directory.
enum TaskDirectories {
    /// Whether the client's mounts are missing. A place that has anything in it is the client's, mounts or not.
    static func areMissing(_ request: LaunchRequest.Message) throws(LaunchFailure) -> Bool {
        guard request.n_task_directories > 0, let first = request.task_directories[0]?.pointee else { return false }
        let isEmpty = exec2_is_empty_below(first.root, first.inside)
        if isEmpty >= 0 { return isEmpty == 1 }
        // A symlink, or no directory: the rules of the task's directories refuse that by their own names.
        if isStrange(.last) { return false }
        throw LaunchFailure(.taskDirectory, .last, path(first.root, first.inside))
    }

    private static func isStrange(_ errno: Errno) -> Bool {
        errno == .tooManySymlinks || errno == .crossDeviceLink || errno == .notDirectory
    }

    /// What is to be mounted in the client's stead, in this order; nothing where its mounts are there.
    ///
    /// Both sides are opened without any symlink from where a task might have put one.
    static func open(_ request: LaunchRequest.Message) throws(LaunchFailure) -> [TaskMounts.Volume] {
        guard try areMissing(request) else { return [] }
        var volumes: [TaskMounts.Volume] = []
        for index in 0..<request.n_task_directories {
            guard let directory = request.task_directories[index]?.pointee else { continue }
            let tree = exec2_open_tree_below(directory.source_root, directory.source)
            // Private: what the task gets mounted below it must not appear on the host.
            guard tree >= 0, exec2_tree_attributes(tree, 0) == 0 else {
                throw LaunchFailure(.taskDirectory, .last, path(directory.source_root, directory.source))
            }
            volumes.append(
                TaskMounts.Volume(
                    descriptor: tree, isDirectory: true, root: UnsafePointer(directory.root),
                    inside: UnsafePointer(directory.inside), isMade: directory.make != 0))
        }
        return volumes
    }

    private static func path(_ root: UnsafePointer<CChar>, _ inside: UnsafePointer<CChar>) -> String {
        String(cString: root) + "/" + String(cString: inside)
    }
}
