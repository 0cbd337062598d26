import CLinux
import CMessages
import SharedEmbedded

/// A mount of the parent of tasks' directories, without the mounts below it.
///
/// open_tree(2) takes longer the more mounts there are below a directory's mount, and on the host every task has four
/// there. So the template has this mount. An Executor clones its task's directory from it, and then detaches it from
/// the task's root.
enum TaskParent {
    private static var place: PathBytes { PathBytes("/proc/directories") }

    // MARK: In the template

    /// A detached mount of the first of a template's directories; -1 if it does not exist on the host.
    static func clone(_ template: Exec2__Executor__RootTemplate) throws(LaunchFailure) -> Int32 {
        guard template.n_directories > 0, let path = template.directories[0] else { return -1 }
        let found = exec2_open(path, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        if found < 0, Errno.last == .noSuchFile { return -1 }
        guard found >= 0 else { throw LaunchFailure(.rootMount, path) }
        defer { _ = close(found) }
        let tree = exec2_clone_mount(found, "", 0)
        guard tree >= 0, exec2_tree_attributes(tree, Int32(bitPattern: EXEC2_TREE_NO_DEVICES.rawValue)) == 0 else {
            throw LaunchFailure(.rootMount, path)
        }
        return tree
    }

    static func attach(_ parent: Int32, to tree: inout RootTree) throws(LaunchFailure) {
        guard parent >= 0 else { return }
        try tree.mount(parent, isDirectory: true, at: place)
    }

    // MARK: In an Executor

    /// An O_PATH descriptor of it in the template, or -1.
    private static func open() -> Int32 {
        place.withRelativePath { exec2_open($0, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0) }
    }

    /// A detached mount of a directory below it; -1 if that is not the directory that is open as `original`. For a
    /// process in the template.
    static func clone(_ source: UnsafePointer<CChar>, like original: Int32) -> Int32 {
        let parent = open()
        guard parent >= 0 else { return -1 }
        defer { _ = close(parent) }
        let found = exec2_open_no_symlinks(parent, source, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 1)
        guard found >= 0 else { return -1 }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        var expected = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0, exec2_fstat(original, &expected) == 0,
            facts.device == expected.device, facts.inode == expected.inode
        else { return -1 }
        return exec2_clone_mount(found, "", 0)
    }

    /// Detaches it from a copy of the template, which this process is in. To be called before /proc is mounted there.
    static func detach() throws(LaunchFailure) {
        guard place.withRelativePath({ exec2_detach_mount($0) }) != 0, Errno.last != .noSuchFile else { return }
        throw LaunchFailure(.rootMount, .last, place.text)
    }
}
