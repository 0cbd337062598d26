import CLinux
import CMessages
import SharedEmbedded

/// Adds directories, symlinks and mounts to the root of the mount namespace that this process is in.
///
/// The read-only file system of a template is shared with every other task. So before an entry is added to one of its
/// directories, a copy of that directory, with the same mounts, is mounted over it (`mountCopy`). Nothing is ever made
/// in a directory of the host.
struct RootTree {
    /// An O_PATH descriptor of the root.
    private(set) var root: Int32
    /// File systems that were made here, to which entries can be added until `finish`.
    private var own: [OwnFileSystem] = []

    private struct OwnFileSystem {
        let place: PathBytes
        let device: UInt64
    }

    init(root: Int32) { self.root = root }

    /// The tree of the namespace that this process is in.
    static func ofThisNamespace() throws(LaunchFailure) -> RootTree {
        let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard root >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        return RootTree(root: root)
    }

    /// Makes the file systems that were made here read-only, and closes the root.
    mutating func finish() throws(LaunchFailure) {
        for fileSystem in own { try makeReadOnly(fileSystem) }
        own.removeAll()
        _ = close(root)
        root = -1
    }

    /// Opened by its place: if the root was replaced since, another copy of the mount is attached there.
    private func makeReadOnly(_ fileSystem: OwnFileSystem) throws(LaunchFailure) {
        let found = open(fileSystem.place)
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard found >= 0, exec2_fstat(found, &facts) == 0 else {
            throw LaunchFailure(.rootMount, .last, fileSystem.place.text)
        }
        // Another file system is mounted over it, so it cannot be reached.
        guard facts.device == fileSystem.device else { return }
        guard exec2_make_read_only(found) == 0 else { throw LaunchFailure(.rootMount, .last, fileSystem.place.text) }
    }

    /// Adds what was found on the host: first the directories and symlinks on the way, then the mounts.
    ///
    /// - Parameters:
    ///   - devices: A detached mount for /dev if the host's whole root is shown, whose own /dev no task gets; else -1.
    ///   - proc: The same for /proc.
    mutating func add(_ objects: HostObjects, devices: Int32, proc: Int32) throws(LaunchFailure) {
        if let whole = objects.binds.first, whole.place.isRoot {
            try mount(whole.descriptor, isDirectory: true, at: whole.place)
            try mount(devices, isDirectory: true, at: PathBytes("/dev"))
            try mount(proc, isDirectory: true, at: PathBytes("/proc"))
        }
        for directory in objects.directories { try makeDirectory(directory.place, like: directory.facts) }
        for link in objects.links { try symlink(link.place, to: link.target) }
        for bind in objects.binds where !bind.place.isRoot {
            if try isMounted(bind) {
                _ = close(bind.descriptor)
            } else {
                try mount(bind.descriptor, isDirectory: bind.isDirectory, at: bind.place)
            }
        }
    }

    /// Whether the same object is at that place already, on a mount that allows at least as much.
    private func isMounted(_ bind: HostObjects.Bind) throws(LaunchFailure) -> Bool {
        guard let found = try find(bind.place) else { return false }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        let options = exec2_mount_options(found)
        guard options >= 0, exec2_fstat(found, &facts) == 0 else {
            throw LaunchFailure(.rootMount, .last, bind.place.text)
        }
        guard facts.device == bind.facts.device, facts.inode == bind.facts.inode else { return false }
        let isReadOnly = UInt32(options) & EXEC2_MOUNT_READ_ONLY.rawValue != 0
        let hasNoDevices = UInt32(options) & EXEC2_MOUNT_NO_DEVICES.rawValue != 0
        return (!bind.isWritable || !isReadOnly) && (!bind.allowsDevices || !hasNoDevices)
    }

    /// Makes a symlink, unless the place exists.
    mutating func symlink(_ place: PathBytes, to target: [UInt8]) throws(LaunchFailure) {
        if try exists(place) { return }
        try makeDirectory(place.parent)
        if try exists(place) { return }
        try make(place) { root, name in withName(target) { symlinkat($0, root, name) } }
    }

    /// Attaches a detached mount; a missing mount point is made. The descriptor is closed.
    mutating func mount(_ tree: Int32, isDirectory: Bool, at place: PathBytes) throws(LaunchFailure) {
        defer { _ = close(tree) }
        // Most mount points exist.
        var target = open(place)
        if target < 0 {
            if isDirectory {
                try makeDirectory(place)
            } else {
                try makeFile(place)
            }
            target = open(place)
        }
        guard target >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        defer { _ = close(target) }
        guard exec2_attach_mount(tree, target, "") == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        guard place.isRoot else { return }
        // The new root is mounted over the old one.
        guard exec2_enter_root(tree) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try reopenRoot()
    }

    /// Mounts an empty, read-only file system over a directory, or an empty file over anything else.
    mutating func cover(_ place: PathBytes) throws(LaunchFailure) {
        let found = open(place)
        guard found >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let nothing = try isDirectory ? Self.memory(bytes: Self.skeletonBytes) : Self.emptyFile()
        guard nothing >= 0, exec2_make_read_only(nothing) == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text)
        }
        try mount(nothing, isDirectory: isDirectory, at: place)
    }

    /// A detached mount of an empty file with mode 0; -1 if that fails.
    private static func emptyFile() throws(LaunchFailure) -> Int32 {
        let file = memory(bytes: skeletonBytes)
        guard file >= 0 else { return -1 }
        defer { _ = close(file) }
        return try attachedForAMoment(file) { () throws(LaunchFailure) in
            mknodat(file, "empty", mode_t(S_IFREG), 0) == 0 ? exec2_clone_mount(file, "empty", 0) : -1
        }
    }

    /// Runs `work` while a file system is attached at /proc: before Linux 6.15 a directory or file of a file system can
    /// be cloned only if that is attached. No task is in this namespace yet.
    static func attachedForAMoment<Result>(
        _ fileSystem: Int32, _ work: () throws(LaunchFailure) -> Result
    ) throws(LaunchFailure) -> Result {
        guard exec2_attach_mount(fileSystem, AT_FDCWD, "/proc") == 0 else { throw LaunchFailure(.rootMount, nil) }
        let result = try work()
        guard exec2_detach_mount("/proc") == 0 else { throw LaunchFailure(.rootMount, nil) }
        return result
    }

    /// Whether `place` is on this mount, and not on one that is mounted over it.
    func shows(_ mount: UInt64, at place: PathBytes) throws(LaunchFailure) -> Bool {
        guard let found = try find(place) else { return false }
        defer { _ = close(found) }
        return try Self.mountID(of: found, place) == mount
    }

    /// The mount that an open file is on.
    static func mountID(of descriptor: Int32, _ place: PathBytes) throws(LaunchFailure) -> UInt64 {
        let id = exec2_mount_id(descriptor)
        guard id != 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        return id
    }

    /// An O_PATH descriptor, opened without following any symlink, or -1.
    func open(_ place: PathBytes) -> Int32 { open(place, EXEC2_O_PATH) }

    func open(_ place: PathBytes, _ flags: Int32) -> Int32 {
        place.isRoot
            ? exec2_openat(root, ".", flags | O_CLOEXEC, 0)
            : place.withRelativePath { exec2_open_no_symlinks(root, $0, flags | O_CLOEXEC, 1) }
    }

    /// The same; nil if the place does not exist. Any other failure is an error: a place that is wrongly taken for
    /// missing would not be covered.
    func find(_ place: PathBytes) throws(LaunchFailure) -> Int32? { try Self.found(open(place), place) }

    private func exists(_ place: PathBytes) throws(LaunchFailure) -> Bool {
        if place.isRoot { return true }
        let entry = place.withRelativePath { exec2_openat(root, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        guard let found = try Self.found(entry, place) else { return false }
        _ = close(found)
        return true
    }

    private static func found(_ opened: Int32, _ place: PathBytes) throws(LaunchFailure) -> Int32? {
        if opened >= 0 { return opened }
        switch Errno.last {
        case .noSuchFile, .notDirectory, .tooManySymlinks: return nil
        default: throw LaunchFailure(.rootMount, .last, place.text)
        }
    }

    /// Duplicates the descriptor of a mount for `place`.
    static func duplicate(_ mount: Int32, at place: PathBytes) throws(LaunchFailure) -> Int32 {
        let number = exec2_duplicate(mount, 0)
        guard number >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        return number
    }

    /// Makes a directory, and those above it that are missing.
    /// - Parameter facts: A directory of the host whose owner and mode it gets; nil: owned by root, mode 0755.
    mutating func makeDirectory(_ place: PathBytes, like facts: exec2_file_facts? = nil) throws(LaunchFailure) {
        if try exists(place) { return }
        try makeDirectory(place.parent)
        let mode = mode_t(facts.map { $0.mode } ?? 0o755)
        try make(place) { directory, name in
            guard mkdirat(directory, name, mode) == 0 else { return -1 }
            guard let facts, facts.owner != 0 || facts.group != 0 else { return 0 }
            return fchownat(directory, name, facts.owner, facts.group, AT_SYMLINK_NOFOLLOW)
        }
    }

    /// Makes an empty file with mode 0, unless the place exists.
    mutating func makeFile(_ place: PathBytes) throws(LaunchFailure) {
        if try exists(place) { return }
        try makeDirectory(place.parent)
        try make(place) { mknodat($0, $1, mode_t(S_IFREG), 0) }
    }

    private mutating func make(
        _ place: PathBytes, _ call: (Int32, UnsafePointer<CChar>) -> Int32
    ) throws(LaunchFailure) {
        let directory = try openOwn(place.parent)
        defer { _ = close(directory) }
        // Relative to the opened directory, by the last component: a user who can write to a directory of the host
        // could have replaced a part of the path by a symlink meanwhile.
        let name = place.components.last ?? []
        guard withName(name, { call(directory, $0) }) == 0 || Errno.last == .fileExists else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
    }

    /// A descriptor of a directory in which entries can be made. A read-only directory, such as the template's, is
    /// first replaced by a copy (`mountCopy`). Fails for a writable directory that was not made here: it is the host's.
    private mutating func openOwn(_ place: PathBytes) throws(LaunchFailure) -> Int32 {
        for isCopied in [false, true] {
            let directory = open(place)
            guard directory >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
            var facts = exec2_file_facts()
            let options = exec2_mount_options(directory)
            guard options >= 0, exec2_fstat(directory, &facts) == 0 else {
                throw LaunchFailure(.rootEntry, .last, place.text)
            }
            if own.contains(where: { $0.device == facts.device }) { return directory }
            _ = close(directory)
            guard !isCopied, UInt32(options) & EXEC2_MOUNT_READ_ONLY.rawValue != 0 else { break }
            try mountCopy(over: place)
        }
        throw LaunchFailure(.rootEntry, .noSuchFile, place.text)
    }

    /// Mounts a file system of the task's own over a directory, with copies of its entries and their mounts.
    private mutating func mountCopy(over place: PathBytes) throws(LaunchFailure) {
        let below = open(place)
        let number = open(place, O_RDONLY | O_DIRECTORY)
        var facts = exec2_file_facts()
        guard below >= 0, number >= 0, exec2_fstat(below, &facts) == 0, let stream = fdopendir(number) else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
        defer {
            _ = close(below)
            closedir(stream)
        }
        let copy = try addFileSystem(for: place)
        // The descriptor of a mount is an O_PATH descriptor.
        guard fchmodat(copy, ".", mode_t(facts.mode), 0) == 0, fchownat(copy, ".", facts.owner, facts.group, 0) == 0
        else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
        if place.isRoot {
            try coverRoot(copy)
        } else {
            try mount(copy, isDirectory: true, at: place)
        }
        // One at a time: a directory may have more entries than this process can have descriptors.
        while let name = try nextName(in: stream, place) {
            var entryPlace = place
            entryPlace.append(name)
            try copyEntry(name, of: below, to: entryPlace)
        }
        guard place.isRoot else { return }
        guard exec2_enter_root(root) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try reopenRoot()
    }

    /// Mounts `copy` over the root, which stays attached until its entries are copied: before Linux 6.15 a detached
    /// mount cannot be cloned.
    private mutating func coverRoot(_ copy: Int32) throws(LaunchFailure) {
        guard exec2_attach_mount(copy, root, "") == 0 else { throw LaunchFailure(.rootMount, .last, "/") }
        _ = close(root)
        root = copy
    }

    private mutating func copyEntry(
        _ name: [UInt8], of directory: Int32, to place: PathBytes
    ) throws(LaunchFailure) {
        let found = withName(name) { exec2_openat(directory, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        // The host has removed it since it was listed.
        if found < 0, Errno.last == .noSuchFile { return }
        guard found >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        if facts.type == EXEC2_FILE_SYMLINK {
            try symlink(place, to: linkTarget(found, place))
            return
        }
        let tree = exec2_clone_mount(found, "", 1)
        guard tree >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        try mount(tree, isDirectory: facts.type == EXEC2_FILE_DIRECTORY, at: place)
    }

    private mutating func reopenRoot() throws(LaunchFailure) {
        let number = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard number >= 0 else { throw LaunchFailure(.rootEntry, .last, "/") }
        _ = close(root)
        root = number
    }

    // MARK: File systems

    /// Directories, symlinks and empty files take no blocks.
    static let skeletonBytes: UInt64 = 1 << 20

    /// A detached tmpfs, which the caller mounts at `place`. Entries can be added to it until `finish`.
    mutating func addFileSystem(for place: PathBytes) throws(LaunchFailure) -> Int32 {
        let file = Self.memory(bytes: Self.skeletonBytes)
        guard file >= 0 else { throw LaunchFailure(.rootMount, .last, "/") }
        try adopt(file, at: place)
        return file
    }

    /// Lets entries be added to this detached or attached file system until `finish`.
    mutating func adopt(_ file: Int32, at place: PathBytes) throws(LaunchFailure) {
        var facts = exec2_file_facts()
        guard exec2_fstat(file, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        own.append(OwnFileSystem(place: place, device: facts.device))
    }

    /// A detached tmpfs of at most that many bytes (tmpfs(5)), whose root has mode 0755; -1 if that fails.
    static func memory(bytes: UInt64) -> Int32 {
        var size = String(bytes)
        size.append("\0")
        return size.withUTF8 { text in
            guard let start = text.baseAddress else { return -1 }
            let value = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
            return fileSystem(
                "tmpfs", [pointer("size"), value, pointer("mode"), pointer("0755")],
                EXEC2_FILE_SYSTEM_NO_DEVICES.rawValue)
        }
    }

    /// - Parameter options: Keys and their values in turn; a key without a value is a flag.
    static func fileSystem(_ type: StaticString, _ options: [UnsafePointer<CChar>?], _ attributes: UInt32) -> Int32 {
        options.withUnsafeBufferPointer {
            exec2_new_file_system(pointer(type), $0.baseAddress, options.count / 2, Int32(bitPattern: attributes))
        }
    }

    static func pointer(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}

/// The name of the next entry of a directory, without "." and ".."; nil at its end.
func nextName(in directory: OpaquePointer, _ place: PathBytes) throws(LaunchFailure) -> [UInt8]? {
    while let text = exec2_next_name(directory) {
        let name = Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
        if name.count > 2 || name.contains(where: { $0 != UInt8(ascii: ".") }) { return name }
    }
    guard Errno.last.rawValue == 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
    return nil
}

/// The target of an open symlink.
func linkTarget(_ link: Int32, _ place: PathBytes) throws(LaunchFailure) -> [UInt8] {
    let target = withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> [UInt8] in
        guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return [] }
        let length = readlinkat(link, "", start, buffer.count)
        return length > 0 ? Array(buffer[..<length]) : []
    }
    guard !target.isEmpty else { throw LaunchFailure(.rootEntry, .last, place.text) }
    return target
}
