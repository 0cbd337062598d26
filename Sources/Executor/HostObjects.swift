import CLinux
import CMessages
import SharedEmbedded

/// What a root is to show of the host: the object that each path leads to, the directories and symlinks that it leads
/// through, and clones of the objects' mounts.
///
/// Everything is opened in the host's mount namespace, component by component. The clones are detached mounts, so they
/// can be attached in another namespace (`RootTree`).
struct HostObjects {
    struct Link {
        let place: PathBytes
        let target: [UInt8]
    }

    /// A directory that a path leads through. Its owner and mode decide who may search it.
    struct PassedDirectory {
        let place: PathBytes
        let facts: exec2_file_facts
    }

    struct Bind {
        let place: PathBytes
        fileprivate let known: Int
        let isDirectory: Bool
        /// Set for directories and regular files only. Devices, FIFOs and sockets can be written to on a read-only
        /// mount too, and their modes and owners cannot be changed there.
        let isWritable: Bool
        let facts: exec2_file_facts
        /// An O_PATH descriptor of the object; after `clone` its detached mount.
        var descriptor: Int32

        var allowsDevices: Bool { place.begins(with: "dev") }
    }

    private(set) var directories: [PassedDirectory] = []
    private(set) var links: [Link] = []
    private(set) var binds: [Bind] = []
    /// Whether the task gets its own /dev/shm, terminals and links to its streams instead of the host's.
    var ownsDeviceDirectories = false

    /// Whether the host's whole root is shown.
    var showsRoot: Bool { binds.contains { $0.place.isRoot } }

    /// Whether something of the host is mounted where the task has terminals or shared memory of its own, or above.
    var coversDevices: Bool {
        binds.contains { $0.place.isOwnDevice || $0.place.isEqual(to: PathBytes([Array("dev".utf8)])) }
    }

    /// What was found while the paths so far were resolved.
    private var known = KnownPlaces()

    /// Adds the object that a path leads to, and what it leads through. An object that the task has of its own, such as
    /// /proc, is not added.
    mutating func add(_ path: Exec2__Executor__TemplatePath) throws(LaunchFailure) {
        var walk = HostWalk(UnsafePointer<CChar>(path.path))
        defer { walk.end() }
        let place: PathBytes
        let descriptor: Int32
        let facts: exec2_file_facts
        do throws(LaunchFailure) {
            try walk.run(&known)
            if walk.isProc(known) { return addDirectoriesAndLinks(of: walk) }
            place = known.path(of: walk.place)
            if ownsDeviceDirectories && place.isOwnDevice { return }
            (descriptor, facts) = try walk.takeObject(known)
        } catch {
            if path.optional != 0, error.errno == .noSuchFile || error.errno == .notDirectory { return }
            throw error
        }
        addDirectoriesAndLinks(of: walk)
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let isOrdinary = isDirectory || facts.type == EXEC2_FILE_REGULAR
        binds.append(
            Bind(
                place: place, known: walk.place, isDirectory: isDirectory,
                isWritable: path.writable != 0 && isOrdinary, facts: facts, descriptor: descriptor))
    }

    private mutating func addDirectoriesAndLinks(of walk: HostWalk) {
        for link in walk.links where known.include(link) {
            links.append(Link(place: known.path(of: link), target: known[link].target))
        }
        for directory in walk.directories where known.include(directory) {
            directories.append(PassedDirectory(place: known.path(of: directory), facts: known[directory].facts))
        }
    }

    /// Adds the directories and symlinks that lead to an empty directory of the tree, and returns that directory's path
    /// without symlinks. It need not exist on the host.
    mutating func addDirectories(to path: UnsafePointer<CChar>?) throws(LaunchFailure) -> PathBytes {
        var walk = HostWalk(path)
        defer { walk.end() }
        walk.mayLack = true
        try walk.run(&known)
        addDirectoriesAndLinks(of: walk)
        return PathBytes(known.path(of: walk.place).components + walk.missing)
    }

    /// Clones the objects' mounts, parents first. Objects that a mount above them shows with the same rights are left
    /// out.
    mutating func clone() throws(LaunchFailure) {
        var chosen: [Bind] = []
        sort()
        for bind in binds {
            if let index = known.bind(atOrAbove: bind.known) {
                let above = chosen[index]
                if above.isWritable || !bind.isWritable, above.allowsDevices || !bind.allowsDevices {
                    _ = close(bind.descriptor)
                    continue
                }
            }
            var mount = bind
            mount.descriptor = try Self.clone(bind)
            _ = close(bind.descriptor)
            known.set(bind: chosen.count, at: bind.known)
            chosen.append(mount)
        }
        binds = chosen
    }

    /// By depth; at the same place, writable binds first.
    private mutating func sort() {
        // An insertion sort is stable and adds little code; there are usually a few dozen binds.
        for index in binds.indices.dropFirst() {
            var position = index
            while position > 0, precedes(binds[position], binds[position - 1]) {
                binds.swapAt(position, position - 1)
                position -= 1
            }
        }
    }

    private func precedes(_ one: Bind, _ other: Bind) -> Bool {
        let depths = (one.place.components.count, other.place.components.count)
        if depths.0 != depths.1 { return depths.0 < depths.1 }
        return one.isWritable && !other.isWritable
    }

    /// A recursive clone of the host's mount, as its slave.
    private static func clone(_ bind: Bind) throws(LaunchFailure) -> Int32 {
        let tree = exec2_clone_mount(bind.descriptor, "", 1)
        guard tree >= 0 else { throw LaunchFailure(.rootMount, .last, bind.place.text) }
        var options = EXEC2_TREE_SLAVE.rawValue
        if !bind.isWritable { options |= EXEC2_TREE_READ_ONLY.rawValue }
        if !bind.allowsDevices { options |= EXEC2_TREE_NO_DEVICES.rawValue }
        guard exec2_tree_attributes(tree, Int32(bitPattern: options)) == 0 else {
            throw LaunchFailure(.rootMount, .last, bind.place.text)
        }
        return tree
    }
}
