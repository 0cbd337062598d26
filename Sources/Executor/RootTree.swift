import CLinux
import CMessages
import SharedEmbedded

/// A tree of directories, symlinks and mount points in the namespace that this process is in.
///
/// What is on the read-only file system of a template is shared with every other task: where something is to be added
/// there, a copy of the directory, with the same mounts, takes its place first (`shadow`). Nothing is ever made in a
/// directory of the host.
struct RootTree {
    /// An O_PATH descriptor of the root.
    private(set) var root: Int32
    /// File systems that were made here, to which entries can be added until the tree is finished.
    private var own: [OwnFileSystem] = []
    /// An open empty file, to be mounted over files that are covered; -1: there is none yet.
    var emptyFile: Int32 = -1

    private struct OwnFileSystem {
        let place: PathBytes
        let device: UInt64
    }

    init(root: Int32) { self.root = root }

    /// Makes the file systems that were made here read-only, and closes the root.
    mutating func finish() throws(LaunchFailure) {
        for fileSystem in own { try makeReadOnly(fileSystem) }
        own.removeAll()
        _ = close(root)
        root = -1
    }

    /// By its place: where the root was replaced, a copy of the mount that was made first stands there.
    private func makeReadOnly(_ fileSystem: OwnFileSystem) throws(LaunchFailure) {
        let found = open(fileSystem.place)
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard found >= 0, exec2_fstat(found, &facts) == 0 else {
            throw LaunchFailure(.rootMount, .last, fileSystem.place.text)
        }
        // What is mounted over it is all that can be seen.
        guard facts.device == fileSystem.device else { return }
        guard exec2_make_read_only(found) == 0 else { throw LaunchFailure(.rootMount, .last, fileSystem.place.text) }
    }

    /// Adds what was found on the host: first the ways and symlinks, since nothing is mounted over a symlink.
    ///
    /// - Parameters:
    ///   - devices: A detached mount for /dev where the host's whole root is among it, whose /dev no task gets.
    ///   - proc: The same for /proc.
    mutating func add(_ objects: HostObjects, devices: Int32, proc: Int32) throws(LaunchFailure) {
        if let whole = objects.binds.first, whole.place.isRoot {
            try mount(whole.descriptor, isDirectory: true, at: whole.place)
            try mount(devices, isDirectory: true, at: PathBytes("/dev"))
            try mount(proc, isDirectory: true, at: PathBytes("/proc"))
        }
        for way in objects.ways { try makeDirectory(way.place, like: way.facts) }
        for link in objects.links { try symlink(link.place, to: link.target) }
        for bind in objects.binds where !bind.place.isRoot {
            if try isShown(bind) {
                _ = close(bind.descriptor)
            } else {
                try mount(bind.descriptor, isDirectory: bind.isDirectory, at: bind.place)
            }
        }
    }

    /// Whether the same object stands there already, with at least the same options.
    private func isShown(_ bind: HostObjects.Bind) throws(LaunchFailure) -> Bool {
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

    /// Adds a symlink, unless something is there.
    mutating func symlink(_ place: PathBytes, to target: [UInt8]) throws(LaunchFailure) {
        if try exists(place) { return }
        try makeDirectory(place.parent)
        if try exists(place) { return }
        try make(place) { root, name in withName(target) { symlinkat($0, root, name) } }
    }

    /// Mounts a detached mount; its place is made where it is missing. The descriptor is closed.
    mutating func mount(_ tree: Int32, isDirectory: Bool, at place: PathBytes) throws(LaunchFailure) {
        defer { _ = close(tree) }
        // Most places are there.
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
        // The new root is on top of the old.
        guard exec2_enter_root(tree) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try reopenRoot()
    }

    /// Puts an empty, read-only file system over a directory, or an empty file over anything else.
    mutating func cover(_ place: PathBytes) throws(LaunchFailure) {
        let found = open(place)
        guard found >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let nothing = isDirectory ? Self.memory(bytes: Self.skeletonBytes) : exec2_clone_mount(emptyFile, "", 0)
        guard nothing >= 0, exec2_make_read_only(nothing) == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text)
        }
        try mount(nothing, isDirectory: isDirectory, at: place)
    }

    /// Whether what is at `place` is seen through this mount, and not through one on top of it.
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

    /// An O_PATH descriptor, reached through no symlink, or -1.
    func open(_ place: PathBytes) -> Int32 { open(place, EXEC2_O_PATH) }

    func open(_ place: PathBytes, _ flags: Int32) -> Int32 {
        place.isRoot
            ? exec2_openat(root, ".", flags | O_CLOEXEC, 0)
            : place.withRelativePath { exec2_open_no_symlinks(root, $0, flags | O_CLOEXEC, 1) }
    }

    /// The same; nil where nothing is there. What cannot be opened is never taken for that: it would not be covered.
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

    /// Another descriptor of a mount that is to be at `place`.
    static func duplicate(_ mount: Int32, at place: PathBytes) throws(LaunchFailure) -> Int32 {
        let number = exec2_duplicate(mount, 0)
        guard number >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        return number
    }

    /// Makes a directory and those above it, as far as they are missing.
    /// - Parameter facts: Of a directory of the host whose owner and mode it gets; nil: root's, open to everybody.
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

    /// Makes an empty file that nobody can read, unless something is there.
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
        // In what was opened, and by the name alone: whoever may write to a directory of the host can have made a symlink
        // of the path meanwhile.
        let name = place.components.last ?? []
        guard withName(name, { call(directory, $0) }) == 0 || Errno.last == .fileExists else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
    }

    /// A descriptor of a directory that entries can be made in, and that is none of the host's: a copy takes the place of
    /// such a one first.
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
            try shadow(place)
        }
        throw LaunchFailure(.rootEntry, .noSuchFile, place.text)
    }

    /// Puts a file system of the task's own in the place of a directory, with copies of its entries and their mounts.
    private mutating func shadow(_ place: PathBytes) throws(LaunchFailure) {
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
        // One after another: a directory may have more entries than this process may have descriptors.
        while let name = try nextName(in: stream, place) {
            var entryPlace = place
            entryPlace.append(name)
            try copyEntry(name, of: below, to: entryPlace)
        }
        guard place.isRoot else { return }
        guard exec2_enter_root(root) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try reopenRoot()
    }

    /// Mounts `copy` over the root, which stays attached until its entries are copied: what is detached cannot be cloned
    /// below Linux 6.15.
    private mutating func coverRoot(_ copy: Int32) throws(LaunchFailure) {
        guard exec2_attach_mount(copy, root, "") == 0 else { throw LaunchFailure(.rootMount, .last, "/") }
        _ = close(root)
        root = copy
    }

    private mutating func copyEntry(
        _ name: [UInt8], of directory: Int32, to place: PathBytes
    ) throws(LaunchFailure) {
        let found = withName(name) { exec2_openat(directory, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        // Removed from the host since it was listed.
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

    /// A detached tmpfs to which entries can be added until the tree is finished: what the caller mounts at `place`.
    mutating func addFileSystem(for place: PathBytes) throws(LaunchFailure) -> Int32 {
        let file = Self.memory(bytes: Self.skeletonBytes)
        guard file >= 0 else { throw LaunchFailure(.rootMount, .last, "/") }
        try adopt(file, at: place)
        return file
    }

    /// Entries can be added to this detached or attached file system until the tree is finished.
    mutating func adopt(_ file: Int32, at place: PathBytes) throws(LaunchFailure) {
        var facts = exec2_file_facts()
        guard exec2_fstat(file, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        own.append(OwnFileSystem(place: place, device: facts.device))
    }

    /// A detached tmpfs of at most that many bytes (tmpfs(5)), with a root that everybody can enter; -1 where that
    /// fails.
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

/// What an open symlink leads to.
func linkTarget(_ link: Int32, _ place: PathBytes) throws(LaunchFailure) -> [UInt8] {
    let target = withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> [UInt8] in
        guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return [] }
        let length = readlinkat(link, "", start, buffer.count)
        return length > 0 ? Array(buffer[..<length]) : []
    }
    guard !target.isEmpty else { throw LaunchFailure(.rootEntry, .last, place.text) }
    return target
}
