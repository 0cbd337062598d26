import CLinux
import CMessages
import SharedEmbedded

/// A tree of directories, symlinks and mount points in the namespace that this process is in.
///
/// What is on the read-only file system of a template is shared with every other task: where something is to be added
/// there, a copy of the directory, with the same mounts, takes its place first (`shadow`).
struct RootTree {
    /// An O_PATH descriptor of the root.
    private var root: Int32

    init(root: Int32) { self.root = root }

    mutating func end() {
        _ = close(root)
        root = -1
    }

    /// Adds what was found on the host: symlinks first, since nothing is mounted over one.
    mutating func add(_ objects: HostObjects) throws(LaunchFailure) {
        for link in objects.links { try add(link) }
        for bind in objects.binds { try mount(bind.descriptor, isDirectory: bind.isDirectory, at: bind.place) }
    }

    private mutating func add(_ link: HostObjects.Link) throws(LaunchFailure) {
        if exists(link.place) { return }
        try makeDirectory(link.place.parent)
        if exists(link.place) { return }
        try symlink(link.place, to: link.target)
    }

    /// Adds a symlink, unless something is there.
    mutating func symlink(_ place: PathBytes, to target: [UInt8]) throws(LaunchFailure) {
        if exists(place) { return }
        try make(place) { root, name in withName(target) { symlinkat($0, root, name) } }
    }

    /// Mounts a detached mount; its place is made where it is missing. The descriptor is closed.
    mutating func mount(_ tree: Int32, isDirectory: Bool, at place: PathBytes) throws(LaunchFailure) {
        defer { _ = close(tree) }
        if isDirectory {
            try makeDirectory(place)
        } else {
            try makeFile(place)
        }
        let target = open(place)
        guard target >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        defer { _ = close(target) }
        let result = exec2_attach_mount(tree, target, "")
        guard result == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        guard place.isRoot else { return }
        // The new root is on top of the old.
        guard exec2_enter_root(tree) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try reopenRoot()
    }

    /// Leaves a directory empty that one of these mounts shows; elsewhere, makes it.
    mutating func empty(_ place: PathBytes, under objects: HostObjects) throws(LaunchFailure) {
        guard objects.binds.contains(where: { $0.isDirectory && $0.place.isAtOrAbove(place) }) else {
            return try makeDirectory(place)
        }
        try cover(place)
    }

    /// Puts an empty, read-only file system over a directory, if there is one.
    mutating func cover(_ place: PathBytes) throws(LaunchFailure) {
        guard exists(place) else { return }
        let nothing = Self.memory(bytes: Self.skeletonBytes, EXEC2_FILE_SYSTEM_NO_DEVICES)
        guard nothing >= 0, exec2_make_read_only(nothing) == 0 else {
            throw LaunchFailure(.rootMount, .last, place.text)
        }
        try mount(nothing, isDirectory: true, at: place)
    }

    /// An O_PATH descriptor, reached through no symlink, or -1.
    func open(_ place: PathBytes) -> Int32 {
        place.isRoot
            ? exec2_duplicate(root, 0)
            : place.withRelativePath { exec2_open_no_symlinks(root, $0, EXEC2_O_PATH | O_CLOEXEC, 1) }
    }

    func exists(_ place: PathBytes) -> Bool {
        let found = place.withRelativePath { exec2_openat(root, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        guard found >= 0 else { return place.isRoot }
        _ = close(found)
        return true
    }

    /// Makes a directory and those above it, as far as they are missing.
    mutating func makeDirectory(_ place: PathBytes) throws(LaunchFailure) {
        if place.isRoot || exists(place) { return }
        try makeDirectory(place.parent)
        try make(place) { mkdirat($0, $1, 0o755) }
    }

    /// Makes an empty file that nobody can read, unless something is there.
    mutating func makeFile(_ place: PathBytes) throws(LaunchFailure) {
        if exists(place) { return }
        try makeDirectory(place.parent)
        try make(place) { mknodat($0, $1, mode_t(S_IFREG), 0) }
    }

    private mutating func make(
        _ place: PathBytes, _ call: (Int32, UnsafePointer<CChar>) -> Int32
    ) throws(LaunchFailure) {
        if place.withRelativePath({ call(root, $0) }) == 0 || Errno.last == .fileExists { return }
        guard Errno.last == .readOnlyFileSystem else { throw LaunchFailure(.rootEntry, .last, place.text) }
        try shadow(place.parent)
        guard place.withRelativePath({ call(root, $0) }) == 0 else {
            throw LaunchFailure(.rootEntry, .last, place.text)
        }
    }

    /// Puts a file system of the task's own in the place of a directory, with copies of its entries and their mounts.
    private mutating func shadow(_ place: PathBytes) throws(LaunchFailure) {
        let directory = open(place)
        guard directory >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        defer { _ = close(directory) }
        let entries = try copies(of: directory, place)
        let own = Self.memory(bytes: Self.skeletonBytes, EXEC2_FILE_SYSTEM_NO_DEVICES)
        guard own >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        try mount(own, isDirectory: true, at: place)
        for entry in entries {
            var entryPlace = place
            entryPlace.append(entry.name)
            if let target = entry.target {
                try symlink(entryPlace, to: target)
            } else {
                try mount(entry.tree, isDirectory: entry.isDirectory, at: entryPlace)
            }
        }
    }

    private struct Entry {
        let name: [UInt8]
        let isDirectory: Bool
        /// Of a symlink.
        let target: [UInt8]?
        /// Else a detached copy with all that is mounted below it.
        let tree: Int32
    }

    private func copies(of directory: Int32, _ place: PathBytes) throws(LaunchFailure) -> [Entry] {
        let number =
            place.isRoot
            ? exec2_open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            : place.withRelativePath { exec2_open_no_symlinks(root, $0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 1) }
        guard number >= 0, let stream = fdopendir(number) else { throw LaunchFailure(.rootEntry, .last, place.text) }
        defer { closedir(stream) }
        var entries: [Entry] = []
        while let entry = readdir(stream) {
            let name = nameBytes(entry)
            if name.count <= 2, name.allSatisfy({ $0 == UInt8(ascii: ".") }) { continue }
            entries.append(try copy(name, in: directory, place))
        }
        return entries
    }

    private func copy(_ name: [UInt8], in directory: Int32, _ place: PathBytes) throws(LaunchFailure) -> Entry {
        let found = withName(name) { exec2_openat(directory, $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }
        guard found >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        if facts.type == EXEC2_FILE_SYMLINK {
            return Entry(name: name, isDirectory: false, target: linkTarget(found), tree: -1)
        }
        let tree = exec2_clone_mount(found, "", 1)
        guard tree >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
        return Entry(name: name, isDirectory: facts.type == EXEC2_FILE_DIRECTORY, target: nil, tree: tree)
    }

    /// What parts of /proc are hidden behind, below a task's /proc.
    mutating func addMasks() throws(LaunchFailure) {
        try makeFile(PathBytes("/proc/empty"))
        try makeDirectory(PathBytes("/proc/none"))
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

    /// A detached tmpfs of at most that many bytes (tmpfs(5)), with a root that everybody can enter; -1 where that
    /// fails.
    static func memory(bytes: UInt64, _ attributes: exec2_file_system_attribute) -> Int32 {
        var size = String(bytes)
        size.append("\0")
        return size.withUTF8 { text in
            guard let start = text.baseAddress else { return -1 }
            let value = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
            return fileSystem("tmpfs", [pointer("size"), value, pointer("mode"), pointer("0755")], attributes.rawValue)
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

/// The name of a directory's entry.
func nameBytes(_ entry: UnsafeMutablePointer<dirent>) -> [UInt8] {
    guard let text = exec2_entry_name(entry) else { return [] }
    return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
}

/// What an open symlink leads to; empty where it cannot be read.
func linkTarget(_ link: Int32) -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> [UInt8] in
        guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return [] }
        let length = readlinkat(link, "", start, buffer.count)
        return length > 0 ? Array(buffer[..<length]) : []
    }
}
