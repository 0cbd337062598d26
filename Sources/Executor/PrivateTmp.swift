import CLinux
import CMessages
import SharedEmbedded

/// The task's own `tmp` directory in the place of the host's /tmp.
struct PrivateTmp {
    /// Of the directory, among the task's.
    private let inside: PathBytes
    /// Where the host's /tmp leads.
    private let place: PathBytes
    /// A detached mount of the directory.
    private var tree: Int32 = -1

    /// Nil where the task has the host's.
    init?(_ message: Exec2__Executor__TaskRoot, _ objects: inout HostObjects) throws(LaunchFailure) {
        let name = PathBytes(message.private_tmp)
        guard !name.isRoot else { return nil }
        inside = name
        place = try objects.addWay(to: RootTree.pointer("/tmp"))
    }

    /// Clones an open directory of the task's if it is the one.
    mutating func clone(_ directory: Int32, at inside: PathBytes) throws(LaunchFailure) {
        guard inside.isEqual(to: self.inside) else { return }
        tree = exec2_clone_mount(directory, "", 0)
        // Private: what the task gets mounted in it must not appear on the host.
        guard tree >= 0, exec2_tree_attributes(tree, Int32(bitPattern: EXEC2_TREE_NO_DEVICES.rawValue)) == 0 else {
            throw LaunchFailure(.taskDirectory, .last, inside.text)
        }
    }

    /// Mounts it in the task's root, before what stands below /tmp.
    /// - Parameter parent: The directory that the task's directories are to stand below: a client's may be below the
    ///   host's /tmp, as those of `nomad agent -dev` are.
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

    /// The task's programs may have made symlinks there: none is followed.
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
