import CLinux
import SharedEmbedded

/// A tmpfs of the task's own. Its directories are mounted at three places: the parent of the task's directories, the
/// first directory on the way to the task's cgroup, and /dev/shm.
struct OwnFiles {
    /// A detached mount of an empty directory.
    let tree: Int32
    /// A detached mount of a directory that everybody can write to; -1: none.
    private let shm: Int32
    /// A detached mount of an empty directory.
    let cgroup: Int32

    static func make(shmSize: UInt64) throws(LaunchFailure) -> OwnFiles {
        let file = RootTree.memory(bytes: max(shmSize, RootTree.skeletonBytes))
        guard file >= 0 else { throw LaunchFailure(.rootMount, nil) }
        defer { _ = CLinux.close(file) }
        return try RootTree.attachedForAMoment(file) { () throws(LaunchFailure) in
            guard mkdirat(file, "tree", 0o755) == 0, mkdirat(file, "cgroup", 0o755) == 0,
                mkdirat(file, "shm", 0o1777) == 0
            else { throw LaunchFailure(.rootEntry, nil) }
            let tree = exec2_clone_mount(file, "tree", 0)
            let cgroup = exec2_clone_mount(file, "cgroup", 0)
            let shm = shmSize > 0 ? exec2_clone_mount(file, "shm", 0) : -1
            guard tree >= 0, cgroup >= 0, shm >= 0 || shmSize == 0 else { throw LaunchFailure(.rootMount, nil) }
            return OwnFiles(tree: tree, shm: shm, cgroup: cgroup)
        }
    }

    func attachSharedMemory(to tree: inout RootTree) throws(LaunchFailure) {
        guard shm >= 0 else { return }
        let place = PathBytes("/dev/shm")
        try tree.mount(try RootTree.duplicate(shm, at: place), isDirectory: true, at: place)
    }

    func close() {
        for number in [tree, shm, cgroup] where number >= 0 { _ = CLinux.close(number) }
    }
}
