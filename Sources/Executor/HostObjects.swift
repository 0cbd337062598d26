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

    struct Bind {
        let place: PathBytes
        let isDirectory: Bool
        let isWritable: Bool
        /// Of the object, and of the detached mount once it was cloned.
        var descriptor: Int32
    }

    private(set) var links: [Link] = []
    private(set) var binds: [Bind] = []

    /// Whether the whole root of the host is among it.
    var showsRoot: Bool { binds.contains { $0.place.isRoot } }

    /// As the kernel does (path_resolution(7)).
    private static let maximumLinks = 40

    /// Adds where a path leads. Nothing is mounted for what is below /proc: a task has its own.
    mutating func add(_ path: Exec2__Executor__TemplatePath) throws(LaunchFailure) {
        let text = UnsafePointer<CChar>(path.path)
        var walk = try Walk(PathBytes(text), subject: text)
        defer { walk.end() }
        do throws(LaunchFailure) {
            try walk.run()
        } catch {
            if path.optional != 0, error.errno == .noSuchFile || error.errno == .notDirectory { return }
            throw error
        }
        links += walk.links
        if walk.place.begins(with: "proc") { return }
        let found = Bind(
            place: walk.place, isDirectory: walk.isDirectory, isWritable: path.writable != 0,
            descriptor: walk.takeDescriptor())
        binds.append(found)
    }

    /// The way to a directory that is to be in the tree, empty. What does not exist on the host is made in any case.
    mutating func addWay(to path: UnsafePointer<CChar>?) throws(LaunchFailure) -> PathBytes {
        var walk = try Walk(PathBytes(path), subject: path)
        defer { walk.end() }
        walk.mayLack = true
        try walk.run()
        links += walk.links
        return walk.place
    }

    /// Clones what is to be mounted, parents first, and leaves out what a mount above it shows as well.
    mutating func clone() throws(LaunchFailure) {
        var chosen: [Bind] = []
        sort()
        for bind in binds {
            let above = chosen.last { $0.place.isAtOrAbove(bind.place) }
            if let above, above.isWritable || !bind.isWritable {
                _ = close(bind.descriptor)
                continue
            }
            var mount = bind
            mount.descriptor = try Self.clone(bind)
            _ = close(bind.descriptor)
            chosen.append(mount)
        }
        binds = chosen
    }

    /// By depth; of those at one place, the one that can be written first.
    private mutating func sort() {
        // A few dozen: insertion keeps the order of equals, and needs no generic sort's code.
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
        if !bind.place.begins(with: "dev") { options |= EXEC2_TREE_NO_DEVICES.rawValue }
        guard exec2_tree_attributes(tree, Int32(bitPattern: options)) == 0 else {
            throw LaunchFailure(.rootMount, .last, bind.place.text)
        }
        return tree
    }

    /// A path's resolution, one component after another, without any that the kernel follows by itself.
    private struct Walk {
        private(set) var place = PathBytes()
        private(set) var links: [Link] = []
        /// What does not exist is no error: the rest of the path is taken as it stands.
        var mayLack = false
        private(set) var isDirectory = true
        private var rest: [[UInt8]]
        private var descriptor: Int32
        private let subject: UnsafePointer<CChar>?

        init(_ path: PathBytes, subject: UnsafePointer<CChar>?) throws(LaunchFailure) {
            rest = path.components
            self.subject = subject
            descriptor = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
            guard descriptor >= 0 else { throw LaunchFailure(.unveil, subject) }
        }

        mutating func end() {
            if descriptor >= 0 { _ = close(descriptor) }
            descriptor = -1
        }

        mutating func takeDescriptor() -> Int32 {
            defer { descriptor = -1 }
            return descriptor
        }

        mutating func run() throws(LaunchFailure) {
            while let name = rest.first {
                rest.removeFirst()
                if name.count == 2, name[0] == UInt8(ascii: "."), name[1] == UInt8(ascii: ".") {
                    place.removeLast()
                    try reopen()
                } else if try step(to: name) {
                    return
                }
                // The task's own /proc is another.
                if place.begins(with: "proc") { return }
            }
        }

        /// True where nothing is there and the rest was taken as it stands.
        private mutating func step(to name: [UInt8]) throws(LaunchFailure) -> Bool {
            guard isDirectory else { throw LaunchFailure(.unveil, .notDirectory, text) }
            let found = withName(name) { exec2_openat(descriptor, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
            guard found >= 0 else {
                guard mayLack, Errno.last == .noSuchFile else { throw LaunchFailure(.unveil, .last, text) }
                place.append(name)
                for name in rest { place.append(name) }
                return true
            }
            var facts = exec2_file_facts()
            guard exec2_fstat(found, &facts) == 0 else {
                let error = Errno.last
                _ = close(found)
                throw LaunchFailure(.unveil, error, text)
            }
            if facts.type == EXEC2_FILE_SYMLINK {
                defer { _ = close(found) }
                try follow(found, name)
                return false
            }
            _ = close(descriptor)
            descriptor = found
            place.append(name)
            isDirectory = facts.type == EXEC2_FILE_DIRECTORY
            return false
        }

        private mutating func follow(_ link: Int32, _ name: [UInt8]) throws(LaunchFailure) {
            guard links.count < HostObjects.maximumLinks else { throw LaunchFailure(.unveil, .tooManySymlinks, text) }
            var target: [UInt8] = []
            let length = withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> Int in
                guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return -1 }
                let length = readlinkat(link, "", start, buffer.count)
                if length > 0 { target = Array(buffer[..<length]) }
                return length
            }
            guard length > 0 else { throw LaunchFailure(.unveil, .last, text) }
            var linkPlace = place
            linkPlace.append(name)
            links.append(Link(place: linkPlace, target: target))
            rest = target.withUnsafeBytes { PathBytes(bytes: $0).components } + rest
            guard target[0] == UInt8(ascii: "/") else { return }
            place = PathBytes()
            try reopen()
        }

        /// Opens the directory at `place` anew: it was reached without symlinks before.
        private mutating func reopen() throws(LaunchFailure) {
            let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
            guard root >= 0 else { throw LaunchFailure(.unveil, .last, text) }
            _ = close(descriptor)
            descriptor = root
            guard !place.isRoot else { return }
            descriptor = place.withRelativePath {
                exec2_open_no_symlinks(root, $0, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 1)
            }
            _ = close(root)
            guard descriptor >= 0 else { throw LaunchFailure(.unveil, .last, text) }
        }

        private var text: String { subject.map { String(cString: $0) } ?? "" }
    }
}
