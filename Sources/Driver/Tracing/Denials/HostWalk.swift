import CLinux
import Glibc
import Shared

/// Looks at a task's path on the host, and at what the task's root has of it.
///
/// The paths are the task's choice. Nothing but a program is opened for reading, no file system is mounted for it, and what
/// the kernel knows of a file is enough: but a look at a network file system may still take any time, so that no thread of the
/// task's may wait for it.
struct HostWalk: ~Copyable {
    /// The task's root directory.
    private let root: OwnedDescriptor
    /// The mount namespace that it is in: with its last process, the mounts would be gone.
    private let namespace: OwnedDescriptor

    private static let maximumLinks = 40
    private static let maximumDepth = 256

    init(root: consuming OwnedDescriptor, namespace: consuming OwnedDescriptor) {
        self.root = root
        self.namespace = namespace
    }

    /// What the path names; nil where it is none that can be followed.
    func facts(of path: String, followsLink: Bool, _ process: TracedProcess) -> PathFacts? {
        var walk = Walk()
        defer { walk.close() }
        var todo = Self.components(path)
        guard walk.begin() else { return nil }
        var links = 0
        var facts = PathFacts()
        /// What a rule has to name where a symlink on the way is not in the task's root.
        var written: String?

        while !todo.isEmpty {
            let name = todo.removeFirst()
            if name == ".." {
                walk.leave()
                continue
            }
            if walk.names.isEmpty && name == "proc" {
                switch ProcWay(todo, followsLink: followsLink, process.pid) {
                case .inside(let names): return Self.ofProc(names, process)
                case .onwards(let rest):
                    links += 1
                    guard links <= Self.maximumLinks else { return nil }
                    todo = rest
                case .unknown: return nil
                }
                continue
            }
            guard walk.names.count < Self.maximumDepth else { return nil }
            let found = walk.look(name)
            guard let found, found.type == EXEC2_FILE_SYMLINK, followsLink || !todo.isEmpty else {
                if found == nil || found?.type != EXEC2_FILE_DIRECTORY {
                    // A directory that is missing, or none: nothing below it exists.
                    if !todo.isEmpty { return nil }
                }
                facts.object = found.map(FileFacts.init)
                if !todo.isEmpty, let object = facts.object {
                    facts.isPassable = facts.isPassable && process.may(.execute, object)
                }
                continue
            }
            links += 1
            guard links <= Self.maximumLinks, let target = walk.target() else { return nil }
            let place = walk.path
            walk.leave()
            if written == nil && task(place)?.type != EXEC2_FILE_SYMLINK {
                written = ([place] + todo).joined(separator: "/")
                facts.endsAtPlaceholder = endsAtPlaceholder(walk)
            }
            if target.utf8.first == UInt8(ascii: "/") { walk.leaveAll() }
            todo = Self.components(target) + todo
            if todo.isEmpty { facts.object = walk.facts.last.map(FileFacts.init) }
        }
        complete(&facts, walk, written)
        return facts
    }

    private func complete(_ facts: inout PathFacts, _ walk: borrowing Walk, _ written: String?) {
        facts.rule = written ?? walk.path
        facts.directoryRule = Self.parent(of: facts.rule)
        if walk.names.isEmpty { facts.object = walk.facts.first.map(FileFacts.init) }
        let exists = walk.facts.count > walk.names.count
        let above = (exists ? walk.facts.dropLast() : walk.facts[...]).last ?? walk.facts.first
        facts.directory = above.map(FileFacts.init)
        facts.device = above?.device ?? 0
        if written == nil { facts.endsAtPlaceholder = endsAtPlaceholder(walk) }
        // A rule for a symlink shows what it leads to, in the link's own place.
        facts.isObjectShown = facts.object != nil && Self.isSame(task(facts.rule), walk.facts.last)
        facts.isDirectoryShown = Self.isSame(task(Self.parent(of: walk.path)), above)
    }

    /// Whether the nearest thing of the path that the task's root has is one that only leads to what is unveiled: of a
    /// read-only file system in memory, and not the host's own.
    private func endsAtPlaceholder(_ walk: borrowing Walk) -> Bool {
        for count in (0...walk.names.count).reversed() {
            let path = "/" + walk.names[..<count].joined(separator: "/")
            let number = ByteText.withPath(path) { exec2_open_in_root(root.number, $0) }
            guard number >= 0 else { continue }
            let place = OwnedDescriptor(owning: number)
            guard let found = Self.facts(place.number) else { return false }
            if count < walk.facts.count, Self.isSame(found, walk.facts[count]) { return false }
            let options = exec2_mount_options(place.number)
            return exec2_is_in_memory(place.number) == 1 && options >= 0
                && options & Int32(EXEC2_MOUNT_READ_ONLY.rawValue) != 0
        }
        return false
    }

    /// What the task's root has at a path, whose last part is not followed.
    private func task(_ path: String) -> exec2_file_facts? {
        let number = ByteText.withPath(path) { exec2_open_in_root(root.number, $0) }
        guard number >= 0 else { return nil }
        let place = OwnedDescriptor(owning: number)
        return Self.facts(place.number)
    }

    private static func isSame(_ first: exec2_file_facts?, _ second: exec2_file_facts?) -> Bool {
        guard let first, let second else { return false }
        return first.device == second.device && first.inode == second.inode
    }

    fileprivate static func facts(_ number: Int32) -> exec2_file_facts? {
        var facts = exec2_file_facts()
        return exec2_fstat_known(number, &facts) == 0 ? facts : nil
    }

    private static func ofProc(_ names: [String], _ process: TracedProcess) -> PathFacts {
        var facts = PathFacts()
        facts.isOfProc = true
        var number: Int32 = -1
        // Where the process has ended, this one has the same.
        for path in [ProcWay.path(names, process.pid), names.joined(separator: "/")] where number < 0 {
            number = ByteText.withPath(path.isEmpty ? "." : path) { exec2_open_in_proc($0) }
        }
        if number >= 0 {
            let place = OwnedDescriptor(owning: number)
            facts.object = Self.facts(place.number).map(FileFacts.init)
        }
        facts.rule = (["/proc"] + names).joined(separator: "/")
        return facts
    }

    static func components(_ path: String) -> [String] {
        path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }.filter { $0 != "." }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.utf8.startIndex else { return "/" }
        return String(path[..<slash])
    }

    /// What runs a program that exists: the interpreter of a script, or a program's loader. Nil where neither is known.
    func interpreter(of path: String) -> String? {
        let number = ByteText.withPath(path) { exec2_open_in_root(root.number, $0) }
        guard number >= 0 else { return nil }
        let place = OwnedDescriptor(owning: number)
        // Checked on the object itself: no FIFO and no device is opened.
        guard Self.facts(place.number)?.type == EXEC2_FILE_REGULAR,
            let file = try? OwnedDescriptor.open("/proc/self/fd/\(place.number)", O_RDONLY | O_NONBLOCK)
        else { return nil }
        var head = [UInt8](repeating: 0, count: 4096)
        let count = pread(file.number, &head, head.count, 0)
        return count > 0 ? ProgramHead.interpreter(in: Array(head[..<count])) : nil
    }
}

/// The directories on the way to a path, each opened with O_PATH.
private struct Walk: ~Copyable {
    private(set) var names: [String] = []
    /// Of the root and each name behind it; one less where the last does not exist.
    private(set) var facts: [exec2_file_facts] = []
    private var numbers: [Int32] = []

    var path: String { "/" + names.joined(separator: "/") }

    mutating func begin() -> Bool {
        let number = exec2_open("/", EXEC2_O_PATH | O_CLOEXEC, 0)
        guard number >= 0 else { return false }
        guard let found = HostWalk.facts(number) else {
            Glibc.close(number)
            return false
        }
        numbers = [number]
        facts = [found]
        return true
    }

    /// What the last directory has of that name; it is the last from now on, also where it does not exist.
    mutating func look(_ name: String) -> exec2_file_facts? {
        names.append(name)
        let number = ByteText.withPath(name) {
            exec2_openat(numbers[numbers.count - 1], $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
        }
        guard number >= 0 else { return nil }
        guard let found = HostWalk.facts(number) else {
            Glibc.close(number)
            return nil
        }
        numbers.append(number)
        facts.append(found)
        return found
    }

    /// Where the symlink that is the last leads to.
    func target() -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlinkat(numbers[numbers.count - 1], "", &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return nil }
        return ByteText.text(buffer[..<count].map { UInt8(bitPattern: $0) })
    }

    mutating func leave() {
        guard !names.isEmpty else { return }
        names.removeLast()
        guard numbers.count > names.count + 1 else { return }
        Glibc.close(numbers.removeLast())
        facts.removeLast()
    }

    mutating func leaveAll() { while !names.isEmpty { leave() } }

    mutating func close() { for number in numbers { Glibc.close(number) } }
}

extension FileFacts {
    fileprivate init(_ facts: exec2_file_facts) {
        isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        mode = facts.mode
        owner = facts.owner
        group = facts.group
    }
}
