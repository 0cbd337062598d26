import CLinux
import CMessages
import SharedEmbedded

/// Hides other tasks' cgroups from a task, and shows it its own.
///
/// Landlock has no right for stat(2) and inotify(7), which would reveal every other task. So a file system of the
/// task's own is mounted over the first directory on the way to the task's cgroup. It has only the directories on that
/// way, and the cgroup is mounted at the last of them.
///
/// Programs look for the mount point in mountinfo. Some take the first mount of cgroup v2, some the last, and some
/// append the path of /proc/self/cgroup without checking which part of the hierarchy is mounted there. So the mount of
/// the task's cgroup is listed between two of the whole hierarchy: the template's, and a copy over that.
struct OwnCgroup {
    /// Where the template shows cgroup v2.
    private let place: PathBytes
    /// The first directory on the way to the task's cgroup.
    private let first: PathBytes
    /// The rest of that way.
    private let rest: PathBytes

    /// Nil if the task sees all cgroups that the template shows.
    init?(_ message: Exec2__Executor__TaskRoot) {
        let way = PathBytes(message.own_cgroup).components
        guard way.count > 1 else { return nil }
        place = PathBytes(message.cgroups)
        first = PathBytes([way[0]])
        rest = PathBytes(Array(way.dropFirst()))
    }

    private func makeWay(in directory: Int32) throws(LaunchFailure) {
        var made = PathBytes()
        for name in rest.components {
            made.append(name)
            guard makeDirectory(made, in: directory) else { throw LaunchFailure(.rootEntry, .last, place.text) }
        }
        guard exec2_make_read_only(directory) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
    }

    private func makeDirectory(_ place: PathBytes, in directory: Int32) -> Bool {
        place.withRelativePath { mkdirat(directory, $0, 0o755) == 0 }
    }

    /// Attaches the way and the task's cgroup.
    ///
    /// - Parameter way: A detached mount of an empty directory of the task's own.
    ///
    /// mountinfo lists mounts in the order in which they were made; before Linux 6.8, in which they were first
    /// attached.
    func attach(_ way: Int32, to tree: RootTree) throws(LaunchFailure) {
        // The host may have unmounted cgroup v2 since the Driver looked for it.
        guard let shown = try tree.find(place) else { return }
        defer { _ = close(shown) }
        let isCgroup = exec2_is_cgroup2(shown)
        guard isCgroup >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        if isCgroup == 0 { return }
        try makeWay(in: way)
        var inside = first
        for name in rest.components { inside.append(name) }
        let own = try clone(inside, of: shown)
        defer { _ = close(own) }
        // Attached here first, for its position in mountinfo; it is moved to its place below.
        guard exec2_attach_mount(own, AT_FDCWD, "/proc") == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text)
        }
        let whole = try clone(PathBytes(), of: shown)
        defer { _ = close(whole) }
        guard exec2_attach_mount(whole, shown, "") == 0,
            first.withRelativePath({ exec2_attach_mount(way, whole, $0) }) == 0,
            rest.withRelativePath({ exec2_attach_mount(own, way, $0) }) == 0
        else { throw LaunchFailure(.rootMount, .last, place.text + inside.text) }
    }

    /// A detached, read-only mount. Private: what the host mounts there later must not cover what the task needs.
    private func clone(_ inside: PathBytes, of shown: Int32) throws(LaunchFailure) -> Int32 {
        let options = EXEC2_TREE_READ_ONLY.rawValue | EXEC2_TREE_NO_DEVICES.rawValue
        let mount = inside.withRelativePath { exec2_clone_mount(shown, $0, 0) }
        guard mount >= 0, exec2_tree_attributes(mount, Int32(bitPattern: options)) == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text + (inside.isRoot ? "" : inside.text))
        }
        return mount
    }
}
