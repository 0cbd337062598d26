import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// The cgroup that Executors live in together: beside the tasks' slices, so that neither a task's end
/// nor the agent's takes an Executor along.
package final class ExecutorCgroup: Sendable {
    private static let name = "exec2-executors.scope"
    /// Those that this Driver or an earlier one has used, to be removed when no Executor is left.
    private let used = Mutex<Set<String>>([])

    package init() {}

    /// How often one that is removed again and again is made anew.
    static let attempts = 100
    /// A cgroup below it that keeps it from being removed, of this process alone.
    private static let hold = "\(holdPrefix)\(getpid()).scope"
    private static let holdPrefix = "starting-"

    /// Spawns a process with the Executors' cgroup for a task in `taskCgroup`, or with -1 if `open` returns nil.
    ///
    /// A Driver that has no task left removes the cgroup, whenever it is empty: also one that has just been opened for
    /// a process that is to be cloned into it. It is then made anew, and held by a cgroup below it until the process is
    /// there.
    package func spawn<Process: ~Copyable>(
        forTaskIn taskCgroup: String, _ spawn: (_ cgroup: Int32) throws(SpawnError) -> Process
    ) throws(SpawnError) -> Process {
        var attempts = Self.attempts
        while true {
            attempts -= 1
            do throws(SpawnError) {
                let isRemoved = attempts < Self.attempts - 1
                guard let cgroup = open(forTaskIn: taskCgroup) else { return try spawn(-1) }
                if isRemoved { mkdirat(cgroup.number, Self.hold, 0o755) }
                defer { if isRemoved { unlinkat(cgroup.number, Self.hold, AT_REMOVEDIR) } }
                return try spawn(cgroup.number)
            } catch {
                guard case .cgroupRemoved = error, attempts > 0 else { throw error }
            }
        }
    }

    /// Opens, and makes where it is missing, the Executors' cgroup for a task in `taskCgroup`
    /// (`…/nomad.slice/share.slice/x.scope` → `…/nomad.slice/exec2-executors.scope`). Nil where there
    /// is no such place; the Executor then lives where the Driver does.
    func open(forTaskIn taskCgroup: String) -> OwnedDescriptor? {
        guard let path = Self.path(forTaskIn: taskCgroup), Self.isInCgroup2(path) else { return nil }
        // Removed by another Driver between the two calls: once more.
        for _ in 0..<Self.attempts {
            if let directory = try? OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY) {
                used.withLock { _ = $0.insert(path) }
                return directory
            }
            guard mkdir(path, 0o755) == 0 || Errno.last == .fileExists else { return nil }
        }
        return nil
    }

    /// Notes where an earlier Driver had the Executor of a task in `taskCgroup`.
    func note(forTaskIn taskCgroup: String) {
        if let path = Self.path(forTaskIn: taskCgroup) { used.withLock { _ = $0.insert(path) } }
    }

    static func path(forTaskIn taskCgroup: String) -> String? {
        let parts = taskCgroup.pathComponents
        guard taskCgroup.hasPrefix("/"), parts.count >= 3, !parts.contains("..") else { return nil }
        return "/" + parts.dropLast(2).joined(separator: "/") + "/" + name
    }

    /// A path of the client's that is no cgroup's must not become a directory on an ordinary file system.
    private static func isInCgroup2(_ path: String) -> Bool {
        let parent = path.pathComponents.dropLast().joined(separator: "/")
        guard let directory = try? OwnedDescriptor.open("/" + parent, O_RDONLY | O_DIRECTORY) else { return false }
        return exec2_is_cgroup2(directory.number) == 1
    }

    /// Removes the cgroups that are empty.
    func removeEmpty() {
        used.withLock { used in
            used = used.filter { path in
                // A Driver that was killed has left it; one that uses it now tries again.
                for name in DirectoryListing.names(in: path) ?? [] where name.hasPrefix(Self.holdPrefix) {
                    rmdir("\(path)/\(name)")
                }
                return rmdir(path) != 0 && Errno.last == .busy
            }
        }
    }
}
