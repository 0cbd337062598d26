import CLinux
import Glibc
import Shared

/// Resolves a task's path on the host, and looks how much of it the task's root shows.
///
/// The task chooses the paths. So only programs are opened for reading, no automount is triggered, and file attributes
/// that the kernel has cached are sufficient. A network file system may still not respond, so that no thread of the
/// task may wait for this.
struct HostWalk: ~Copyable {
    /// The task's root directory.
    private let root: OwnedDescriptor
    /// Keeps the mount namespace of `root`, whose mounts would else vanish with its last process.
    private let namespace: OwnedDescriptor

    private static let maximumLinks = 40
    private static let maximumDepth = 256

    init(root: consuming OwnedDescriptor, namespace: consuming OwnedDescriptor) {
        self.root = root
        self.namespace = namespace
    }

    /// What the path names; nil if it cannot be resolved.
    func facts(of path: String, followsLink: Bool, _ process: TracedProcess) -> PathFacts? {
        var walk = Walk()
        defer { walk.close() }
        var todo = Self.components(path)
        guard walk.begin() else { return nil }
        var links = 0
        var facts = PathFacts()
        /// The path for a rule, if a symlink on the path is not in the task's root: then the rule must name the
        /// symlink.
        var written: String?

        while !todo.isEmpty {
            let name = todo.removeFirst()
            if name == ".." {
                walk.leave()
                continue
            }
            if walk.names.isEmpty && name == "proc" {
                switch ProcPath(todo, followsLink: followsLink, process.pid) {
                case .inside(let names): return Self.ofProc(names, process)
                case .outside(let rest):
                    links += 1
                    guard links <= Self.maximumLinks else { return nil }
                    todo = rest
                case .unknown: return nil
                }
                continue
            }
            guard walk.names.count < Self.maximumDepth else { return nil }
            let found = walk.enter(name)
            guard let found, found.type == EXEC2_FILE_SYMLINK, followsLink || !todo.isEmpty else {
                if found == nil || found?.type != EXEC2_FILE_DIRECTORY {
                    // Below a missing directory, or below a file, nothing exists.
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
            if written == nil && inTask(place)?.type != EXEC2_FILE_SYMLINK {
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
        // With a rule for a symlink, the task's root has the symlink's target at the path of the symlink.
        facts.isObjectVisible = facts.object != nil && Self.isSame(inTask(facts.rule), walk.facts.last)
        facts.isDirectoryVisible = Self.isSame(inTask(Self.parent(of: walk.path)), above)
    }

    /// Whether the last part of the path that the task's root has is not the host's object, but one of the template,
    /// which was made because it leads to something unveiled: it is on a read-only file system in memory.
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

    /// What the task's root has at a path. A final symlink is not followed.
    private func inTask(_ path: String) -> exec2_file_facts? {
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
        // If the process has ended, this process's own files have the same facts.
        for path in [ProcPath.path(names, process.pid), names.joined(separator: "/")] where number < 0 {
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

    /// What runs a program that exists: the interpreter of a script, or a program's loader. Nil if it is not known.
    func interpreter(of path: String) -> String? {
        let number = ByteText.withPath(path) { exec2_open_in_root(root.number, $0) }
        guard number >= 0 else { return nil }
        let place = OwnedDescriptor(owning: number)
        // Checked by descriptor, so that a FIFO or device is never opened.
        guard Self.facts(place.number)?.type == EXEC2_FILE_REGULAR,
            let file = try? OwnedDescriptor.open("/proc/self/fd/\(place.number)", O_RDONLY | O_NONBLOCK)
        else { return nil }
        var head = [UInt8](repeating: 0, count: 4096)
        let count = pread(file.number, &head, head.count, 0)
        return count > 0 ? ProgramHead.interpreter(in: Array(head[..<count])) : nil
    }
}

/// The components of a path without symlinks, each opened with O_PATH.
private struct Walk: ~Copyable {
    private(set) var names: [String] = []
    /// Facts of the root and of each name; the last name has none if it does not exist.
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

    /// Appends a name, even if it does not exist, and returns what the last directory has by that name.
    mutating func enter(_ name: String) -> exec2_file_facts? {
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

    /// The target of the last component, which is a symlink.
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
