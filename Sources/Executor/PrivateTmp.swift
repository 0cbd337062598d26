import CLinux
import CMessages
import SharedEmbedded

/// Mounts the task's own `tmp` directory at /tmp, instead of the host's /tmp.
struct PrivateTmp {
    /// The path of the directory, relative to the parent of the task's directories.
    private let inside: PathBytes
    /// /tmp without symlinks.
    private let place: PathBytes
    /// A detached mount of the directory.
    private var tree: Int32 = -1

    /// Nil if the task has no private /tmp.
    init?(_ message: Exec2__Executor__TaskRoot, _ objects: inout HostObjects) throws(LaunchFailure) {
        let name = PathBytes(message.private_tmp)
        guard !name.isRoot else { return nil }
        inside = name
        place = try objects.addDirectories(to: RootTree.pointer("/tmp"))
    }

    /// Clones an open directory of the task's if it is the `tmp` directory.
    mutating func clone(_ directory: Int32, at inside: PathBytes) throws(LaunchFailure) {
        guard inside.isEqual(to: self.inside) else { return }
        tree = exec2_clone_mount(directory, "", 0)
        // Private: what is mounted in it for the task must not propagate to the host.
        guard tree >= 0, exec2_tree_attributes(tree, Int32(bitPattern: EXEC2_TREE_NO_DEVICES.rawValue)) == 0 else {
            throw LaunchFailure(.taskDirectory, .last, inside.text)
        }
    }

    /// Mounts it in the task's root, before anything below /tmp is mounted.
    /// - Parameter parent: The parent of the task's directories, whose mount point is made if it is below /tmp, as with
    ///   `nomad agent -dev`.
    func attach(to root: inout RootTree, before parent: PathBytes) throws(LaunchFailure) {
        guard tree >= 0 else { throw LaunchFailure(.taskDirectory, .noSuchFile, inside.text) }
        try root.mount(tree, isDirectory: true, at: place)
        guard place.isAtOrAbove(parent) else { return }
        var directory = place
        for name in parent.components.dropFirst(place.components.count) {
            try Self.make(name, in: directory, of: root)
            directory.append(name)
        }
    }

    /// Follows no symlink: the task's programs may have made some.
    private static func make(_ name: [UInt8], in directory: PathBytes, of root: RootTree) throws(LaunchFailure) {
        let above = root.open(directory)
        guard above >= 0 else { throw LaunchFailure(.rootEntry, .last, directory.text) }
        defer { _ = close(above) }
        var place = directory
        place.append(name)
        guard withName(name, { mkdirat(above, $0, 0o755) }) == 0 || Errno.last == .fileExists else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
        let made = root.open(place)
        guard made >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        _ = close(made)
    }
}
