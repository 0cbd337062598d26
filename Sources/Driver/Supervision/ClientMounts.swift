import CLinux
import Glibc
import Planning
import Shared

/// The directories in which the client has mounted tasks' directories. They are hidden from tasks, except for a task's
/// own.
///
/// They are remembered from one start to the next, since a job can set NOMAD_TASK_DIR to another path and so conceal
/// where the client's mounts are. A directory counts only if the allocation's shared directory is mounted in it, which
/// only root can do.
package final class ClientMounts: Sendable {
    private let found = Mutex<[String]>([])
    private let allocations = Mutex<[String]>([])

    init() {}

    package var known: [String] { found.withLock { $0 } }

    /// All directories of the client that no task reaches, as far as requests have told them.
    package var directories: [String] {
        let parents = allocations.withLock { $0 }
        return known + parents.flatMap { LaunchPlanning.directories(ofClient: $0) }
    }

    /// Remembers where the client has its allocations.
    package func note(allocDir: String) {
        if allocations.withLock({ $0.contains { allocDir.isChild(of: $0) } }) { return }
        guard let parent = LaunchPlanning.allocations(of: allocDir) else { return }
        allocations.withLock { if !$0.contains(parent) { $0.append(parent) } }
    }

    /// Whether the directory is known as it stands there, which is so for nearly every start.
    package func knows(_ place: TaskRequest.ClientMount) -> Bool { known.contains(place.parent) }

    /// Adds the directory of a task that was started. It may block its thread.
    package func add(_ place: TaskRequest.ClientMount, allocDir: String) {
        guard let directory = Self.directory(place, allocDir: allocDir) else { return }
        found.withLock { if !$0.contains(directory) { $0 = ($0 + [directory]).sorted() } }
    }

    /// The path of the place's parent without symlinks; nil if the place is not such a mount.
    private static func directory(_ place: TaskRequest.ClientMount, allocDir: String) -> String? {
        let flags = EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC
        let parent = OwnedDescriptor(owning: exec2_open(place.parent, flags, 0))
        let mounted = OwnedDescriptor(owning: exec2_open_no_symlinks(parent.number, place.alloc, flags, 1))
        let shared = OwnedDescriptor(owning: exec2_open(allocDir + "/alloc", flags, 0))
        var left = exec2_file_facts()
        var right = exec2_file_facts()
        guard exec2_fstat(mounted.number, &left) == 0, exec2_fstat(shared.number, &right) == 0,
            left.device == right.device, left.inode == right.inode
        else { return nil }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/fd/\(parent.number)", &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return nil }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
