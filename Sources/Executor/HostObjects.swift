import CLinux
import CMessages
import SharedEmbedded

/// What a root is to show of the host: where each path leads, the symlinks on the way, and a copy of its mount.
///
/// All of it is opened in the namespace that the host's objects are in, component by component; a copy is detached, so
/// that it can be attached in another namespace (`RootTree`).
struct HostObjects {
    struct Link {
        let place: PathBytes
        let target: [UInt8]
    }

    /// A directory that is passed on the way, whose owner and mode decide who may pass it.
    struct Way {
        let place: PathBytes
        let facts: exec2_file_facts
    }

    struct Bind {
        let place: PathBytes
        fileprivate let known: Int
        let isDirectory: Bool
        /// Of a directory or a regular file. Devices, FIFOs and sockets can be written to on a read-only mount, which
        /// keeps their modes and owners from being changed.
        let isWritable: Bool
        let facts: exec2_file_facts
        /// Of the object, and of the detached mount once it was cloned.
        var descriptor: Int32

        var allowsDevices: Bool { place.begins(with: "dev") }
    }

    private(set) var ways: [Way] = []
    private(set) var links: [Link] = []
    private(set) var binds: [Bind] = []
    /// Whether /dev/shm, terminals and the links to the task's own streams are the task's own.
    var ownsDeviceDirectories = false

    /// Whether the whole root of the host is among it.
    var showsRoot: Bool { binds.contains { $0.place.isRoot } }

    /// What the paths have led through so far.
    private var known = KnownPlaces()

    /// Adds where a path leads. Nothing is mounted for what a task has of its own, such as /proc.
    mutating func add(_ path: Exec2__Executor__TemplatePath) throws(LaunchFailure) {
        var walk = HostWalk(UnsafePointer<CChar>(path.path))
        defer { walk.end() }
        let place: PathBytes
        let descriptor: Int32
        let facts: exec2_file_facts
        do throws(LaunchFailure) {
            try walk.run(&known)
            if walk.isProc(known) { return take(walk) }
            place = known.path(of: walk.place)
            if ownsDeviceDirectories && place.isOwnDevice { return }
            (descriptor, facts) = try walk.takeObject(known)
        } catch {
            if path.optional != 0, error.errno == .noSuchFile || error.errno == .notDirectory { return }
            throw error
        }
        take(walk)
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let isOrdinary = isDirectory || facts.type == EXEC2_FILE_REGULAR
        binds.append(
            Bind(
                place: place, known: walk.place, isDirectory: isDirectory,
                isWritable: path.writable != 0 && isOrdinary, facts: facts, descriptor: descriptor))
    }

    private mutating func take(_ walk: HostWalk) {
        for link in walk.links where known.take(link) {
            links.append(Link(place: known.path(of: link), target: known[link].target))
        }
        for way in walk.ways where known.take(way) {
            ways.append(Way(place: known.path(of: way), facts: known[way].facts))
        }
    }

    /// The way to a directory that is to be in the tree, empty. What does not exist on the host is made in any case.
    mutating func addWay(to path: UnsafePointer<CChar>?) throws(LaunchFailure) -> PathBytes {
        var walk = HostWalk(path)
        defer { walk.end() }
        walk.mayLack = true
        try walk.run(&known)
        take(walk)
        return PathBytes(known.path(of: walk.place).components + walk.missing)
    }

    /// Clones what is to be mounted, parents first, and leaves out what a mount above it shows as well.
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

    /// By depth; of those at one place, the one that can be written first.
    private mutating func sort() {
        // Mostly a few dozen: insertion keeps the order of equals, and needs no generic sort's code.
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

    /// A slave of the host's mount, with what is mounted below it.
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
