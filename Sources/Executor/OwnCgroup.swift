import CLinux
import CMessages
import SharedEmbedded

/// What a task finds of the host's cgroups: its own, and none of other tasks'.
///
/// Landlock has no right for stat(2) and inotify(7), by which a task would learn of every other. So the first directory
/// on the way to the task's cgroup has an empty file system over it, with that way, and the cgroup mounted at its end.
///
/// Programs look for the mount point in mountinfo, where each of them takes the first or the last mount of cgroup v2, and
/// some add to it the path of /proc/self/cgroup whatever part of the hierarchy is mounted there. So the mount of the
/// task's cgroup is between two of the whole hierarchy: the template's, and a copy on top of that.
struct OwnCgroup {
    /// Where the template shows cgroup v2.
    private let place: PathBytes
    /// The first directory on the way to the task's cgroup.
    private let first: PathBytes
    /// The rest of it.
    private let rest: PathBytes

    /// Nil where the task finds all that the template shows.
    init?(_ message: Exec2__Executor__TaskRoot) {
        let way = PathBytes(message.own_cgroup).components
        guard way.count > 1 else { return nil }
        place = PathBytes(message.cgroups)
        first = PathBytes([way[0]])
        rest = PathBytes(Array(way.dropFirst()))
    }

    /// Makes the way in an attached file system of the task's own. Returns a detached, read-only mount of it.
    func makeWay(in fileSystem: Int32) throws(LaunchFailure) -> Int32 {
        var made = PathBytes([Array("cgroup".utf8)])
        var isMade = makeDirectory(made, in: fileSystem)
        for name in rest.components {
            made.append(name)
            isMade = isMade && makeDirectory(made, in: fileSystem)
        }
        guard isMade else { throw LaunchFailure(.rootEntry, .last, place.text) }
        let way = exec2_clone_mount(fileSystem, "cgroup", 0)
        guard way >= 0, exec2_make_read_only(way) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        return way
    }

    private func makeDirectory(_ place: PathBytes, in directory: Int32) -> Bool {
        place.withRelativePath { mkdirat(directory, $0, 0o755) == 0 }
    }

    /// Attaches the way and the task's cgroup.
    ///
    /// mountinfo is in the order in which mounts were made, or in which they were first attached before Linux 6.8.
    func attach(_ way: Int32, to tree: RootTree) throws(LaunchFailure) {
        // The host's mount of cgroup v2 may have gone since it was looked for.
        guard let shown = try tree.find(place) else { return }
        defer { _ = close(shown) }
        let isCgroup = exec2_is_cgroup2(shown)
        guard isCgroup >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        if isCgroup == 0 { return }
        var inside = first
        for name in rest.components { inside.append(name) }
        let own = try clone(inside, of: shown)
        defer { _ = close(own) }
        // For its place among the mounts: it is moved once the way is there.
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

    /// A detached, read-only mount. Private: what the host mounts there would be in the task's way.
    private func clone(_ inside: PathBytes, of shown: Int32) throws(LaunchFailure) -> Int32 {
        let options = EXEC2_TREE_READ_ONLY.rawValue | EXEC2_TREE_NO_DEVICES.rawValue
        let mount = inside.withRelativePath { exec2_clone_mount(shown, $0, 0) }
        guard mount >= 0, exec2_tree_attributes(mount, Int32(bitPattern: options)) == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text + (inside.isRoot ? "" : inside.text))
        }
        return mount
    }
}
