import CLinux
import SharedEmbedded

/// Resolves a path on the host, one component at a time; the kernel follows no symlink by itself.
///
/// Components of earlier paths are taken from `KnownPlaces` and not opened again.
struct HostWalk {
    /// As the kernel does (path_resolution(7)).
    private static let maximumLinks = 40

    private(set) var place = KnownPlaces.root
    /// The components after `place`, which do not exist.
    private(set) var missing: [[UInt8]] = []
    private(set) var links: [Int] = []
    /// Directories that the path leads through, those of followed symlinks included.
    private(set) var directories: [Int] = []
    /// A missing component is not an error: it and the rest of the path become `missing`.
    var mayLack = false
    private var rest: [[UInt8]]
    /// An O_PATH descriptor of `place`; -1: not open.
    private var descriptor: Int32 = -1
    private let subject: UnsafePointer<CChar>?

    init(_ path: UnsafePointer<CChar>?) {
        rest = PathBytes(path).components.reversed()
        subject = path
    }

    mutating func end() {
        if descriptor >= 0 { _ = close(descriptor) }
        descriptor = -1
    }

    /// An O_PATH descriptor of the object that the path leads to, and its facts. The caller closes the descriptor.
    mutating func takeObject(_ known: KnownPlaces) throws(LaunchFailure) -> (Int32, exec2_file_facts) {
        try reopen(known)
        var facts = exec2_file_facts()
        guard exec2_fstat(descriptor, &facts) == 0 else { throw LaunchFailure(.unveil, .last, text) }
        defer { descriptor = -1 }
        return (descriptor, facts)
    }

    mutating func run(_ known: inout KnownPlaces) throws(LaunchFailure) {
        while let name = rest.popLast() {
            if name.count == 2, name[0] == UInt8(ascii: "."), name[1] == UInt8(ascii: ".") {
                // The directory that is left by ".." must exist in the root too.
                pass()
                go(to: known[place].parent)
            } else if try step(to: name, &known) {
                return
            }
            // The task has its own /proc: nothing below the host's is resolved.
            if isProc(known) { return }
        }
    }

    func isProc(_ known: KnownPlaces) -> Bool {
        known[place].depth == 1 && PathBytes([known[place].name]).begins(with: "proc")
    }

    private mutating func pass() {
        if place != KnownPlaces.root { directories.append(place) }
    }

    private mutating func go(to next: Int) {
        end()
        place = next
    }

    /// True if the component is missing, and it and the rest have become `missing`.
    private mutating func step(to name: [UInt8], _ known: inout KnownPlaces) throws(LaunchFailure) -> Bool {
        guard known[place].isDirectory else { throw LaunchFailure(.unveil, .notDirectory, text) }
        if let next = known.child(of: place, name) {
            if known[next].isSymlink {
                try follow(next, known)
            } else {
                pass()
                go(to: next)
            }
            return false
        }
        try reopen(known)
        let found = withName(name) { exec2_openat(descriptor, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        guard found >= 0 else {
            guard mayLack, Errno.last == .noSuchFile else { throw LaunchFailure(.unveil, .last, text) }
            missing = [name] + rest.reversed()
            return true
        }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else {
            let error = Errno.last
            _ = close(found)
            throw LaunchFailure(.unveil, error, text)
        }
        let isSymlink = facts.type == EXEC2_FILE_SYMLINK
        let next: Int
        do throws(LaunchFailure) {
            let target = isSymlink ? try linkTarget(found, known.path(of: place)) : []
            guard let added = known.add(name, to: place, facts, target: target) else {
                throw LaunchFailure(.unveil, Errno(rawValue: E2BIG), text)
            }
            next = added
        } catch {
            _ = close(found)
            throw LaunchFailure(.unveil, error.errno, text)
        }
        if isSymlink {
            _ = close(found)
            try follow(next, known)
        } else {
            pass()
            go(to: next)
            descriptor = found
        }
        return false
    }

    private mutating func follow(_ link: Int, _ known: KnownPlaces) throws(LaunchFailure) {
        guard links.count < Self.maximumLinks else { throw LaunchFailure(.unveil, .tooManySymlinks, text) }
        pass()
        links.append(link)
        let target = known[link].target
        rest += target.withUnsafeBytes { PathBytes(bytes: $0).components }.reversed()
        if target.first == UInt8(ascii: "/") { go(to: KnownPlaces.root) }
    }

    /// Opens `place`, whose path has no symlinks.
    private mutating func reopen(_ known: KnownPlaces) throws(LaunchFailure) {
        if descriptor >= 0 { return }
        let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard root >= 0 else { throw LaunchFailure(.unveil, .last, text) }
        descriptor = root
        guard place != KnownPlaces.root else { return }
        defer { _ = close(root) }
        descriptor = known.path(of: place).withRelativePath {
            exec2_open_no_symlinks(root, $0, EXEC2_O_PATH | O_CLOEXEC, 1)
        }
        guard descriptor >= 0 else { throw LaunchFailure(.unveil, .last, text) }
    }

    private var text: String { subject.map { String(cString: $0) } ?? "" }
}
