import CLinux
import CMessages
import SharedEmbedded

/// The root of one task: a copy of the template's namespace, with what is the task's alone.
///
/// What it shows of the host is opened and cloned while this process is in the host's mount namespace. Then this
/// process enters the copy, attaches that, and goes back once the task was cloned, which stays there.
struct TaskRoot {
    private let message: Exec2__Executor__TaskRoot
    private let hostNamespace: Int32
    /// An O_PATH descriptor of the host's /proc.
    let hostProc: Int32
    private var directories: [Directory] = []
    private var objects = HostObjects()

    private struct Directory {
        let tree: Int32
        let inside: PathBytes
        let isReadOnly: Bool
    }

    // MARK: In the host's namespace

    /// Opens and clones what the root of a request is to show. Nil where the task has the host's root.
    static func prepare(_ request: LaunchRequest.Message) throws(LaunchFailure) -> TaskRoot? {
        guard let message = request.root?.pointee else { return nil }
        let namespace = exec2_open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        guard namespace >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        let proc = exec2_open("/proc", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard proc >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        var root = TaskRoot(message: message, hostNamespace: namespace, hostProc: proc)
        let directories = try root.chosenDirectories()
        try root.clone(directories)
        for index in 0..<message.n_paths {
            if let path = message.paths[index]?.pointee { try root.objects.add(path) }
        }
        try root.objects.clone()
        return root
    }

    private init(message: Exec2__Executor__TaskRoot, hostNamespace: Int32, hostProc: Int32) {
        self.message = message
        self.hostProc = hostProc
        self.hostNamespace = hostNamespace
    }

    /// Those that the client has mounted; where its mounts are missing, what they are mounts of.
    private func chosenDirectories() throws(LaunchFailure) -> UnsafeBufferPointer<
        UnsafeMutablePointer<Exec2__Executor__RootDirectory>?
    > {
        let given = UnsafeBufferPointer(start: message.directories, count: message.n_directories)
        guard message.n_replacements > 0, let first = given.first??.pointee else { return given }
        let isEmpty = exec2_is_empty_below(first.source_root, first.source)
        guard isEmpty >= 0 else { throw LaunchFailure(.taskDirectory, .last, Self.path(first)) }
        return isEmpty == 0
            ? given : UnsafeBufferPointer(start: message.replacements, count: message.n_replacements)
    }

    /// One mount where they are one on the host, so that a program can rename from one directory to another.
    private mutating func clone(
        _ chosen: UnsafeBufferPointer<UnsafeMutablePointer<Exec2__Executor__RootDirectory>?>
    ) throws(LaunchFailure) {
        var mounts: [(inside: PathBytes, id: UInt64)] = []
        for pointer in chosen {
            guard let directory = pointer?.pointee else { continue }
            let found = Self.open(directory)
            // Where there are no logs, none are to be protected.
            if found < 0, directory.read_only != 0, Errno.last == .noSuchFile { continue }
            guard found >= 0 else { throw LaunchFailure(.taskDirectory, .last, Self.path(directory)) }
            defer { _ = close(found) }
            let inside = PathBytes(directory.inside)
            let id = exec2_mount_id(found)
            if directory.only_mounts != 0, let above = mounts.last(where: { $0.inside.isAtOrAbove(inside) }),
                above.id == id, id != 0
            {
                continue
            }
            let tree = exec2_clone_mount(found, "", 0)
            let options = directory.read_only != 0 ? EXEC2_TREE_READ_ONLY.rawValue : 0
            guard tree >= 0,
                // Private: what the task gets mounted in it must not appear on the host.
                exec2_tree_attributes(tree, Int32(bitPattern: options | EXEC2_TREE_NO_DEVICES.rawValue)) == 0
            else { throw LaunchFailure(.taskDirectory, .last, Self.path(directory)) }
            mounts.append((inside, id))
            directories.append(Directory(tree: tree, inside: inside, isReadOnly: directory.read_only != 0))
        }
    }

    private static func open(_ directory: Exec2__Executor__RootDirectory) -> Int32 {
        let root = exec2_open(directory.source_root, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard root >= 0 else { return root }
        defer { _ = close(root) }
        return exec2_open_no_symlinks(root, directory.source, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 1)
    }

    private static func path(_ directory: Exec2__Executor__RootDirectory) -> String {
        String(cString: directory.source_root) + "/" + String(cString: directory.source)
    }

    // MARK: In the task's

    /// Enters a copy of the template and attaches what is the task's alone.
    /// - Parameters:
    ///   - volumes: Whose places are made where they are outside of the task's directories.
    ///   - network: Of the task's own; -1: the host's.
    func enter(_ volumes: [TaskMounts.Volume], network: Int32) throws(LaunchFailure) {
        let mask = umask(0)
        defer { _ = umask(mask) }
        // /proc/1 is this process, whose network a task would see there.
        guard network < 0 || exec2_setns(network, UInt64(EXEC2_CLONE_NEWNET)) == 0 else {
            throw LaunchFailure(.enterNetwork, nil)
        }
        guard exec2_setns(TemplateDescriptor.namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0, exec2_unshare_mounts() == 0
        else { throw LaunchFailure(.enterTemplate, nil) }
        _ = close(TemplateDescriptor.namespace)
        let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard root >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        var tree = RootTree(root: root)
        defer { tree.end() }
        try tree.add(objects)
        for index in 0..<message.n_covered {
            let place = PathBytes(message.covered[index])
            if objects.binds.contains(where: { $0.place.isAtOrAbove(place) }) { try tree.cover(place) }
        }
        let own = try OwnFiles.make(shmSize: message.shm_size)
        try attachOwn(own, to: &tree)
        try mountProc(in: &tree)
        if message.terminals != 0 { try mountTerminals(in: &tree) }
        for volume in volumes where !volume.isMade {
            var place = PathBytes(volume.root)
            for name in PathBytes(volume.inside).components { place.append(name) }
            try volume.isDirectory ? tree.makeDirectory(place) : tree.makeFile(place)
        }
        own.close()
    }

    /// The way to the task's directories, which are the task's name, is for no other task to see.
    private func attachOwn(_ own: OwnFiles, to tree: inout RootTree) throws(LaunchFailure) {
        let parent = PathBytes(message.parent)
        var made: [PathBytes] = []
        for directory in directories where !made.contains(where: { $0.isAtOrAbove(directory.inside) }) {
            var place = PathBytes()
            for name in directory.inside.components {
                place.append(name)
                guard makeDirectory(place, in: own.tree) || Errno.last == .fileExists else {
                    throw LaunchFailure(.rootEntry, .last, directory.inside.text)
                }
            }
            made.append(directory.inside)
        }
        guard exec2_make_read_only(own.tree) == 0 else { throw LaunchFailure(.rootMount, .last, parent.text) }
        try tree.mount(exec2_duplicate(own.tree, 0), isDirectory: true, at: parent)
        for directory in directories {
            var place = parent
            for name in directory.inside.components { place.append(name) }
            try tree.mount(directory.tree, isDirectory: true, at: place)
        }
        if own.shm >= 0 {
            try tree.mount(exec2_duplicate(own.shm, 0), isDirectory: true, at: Self.shm)
        }
    }

    private func makeDirectory(_ place: PathBytes, in directory: Int32) -> Bool {
        place.withRelativePath { mkdirat(directory, $0, 0o755) == 0 }
    }

    /// Of this process's PID namespace, which is the task's.
    private func mountProc(in tree: inout RootTree) throws(LaunchFailure) {
        // Of the template, below what is mounted next. The host's root has none.
        if !tree.exists(Self.emptyFile) {
            let masks = RootTree.memory(bytes: RootTree.skeletonBytes, EXEC2_FILE_SYSTEM_NO_DEVICES)
            guard masks >= 0 else { throw LaunchFailure(.mountProc, nil) }
            try tree.mount(masks, isDirectory: true, at: Self.proc)
            try tree.addMasks()
        }
        let empty = tree.open(Self.emptyFile)
        let none = tree.open(Self.emptyDirectory)
        guard empty >= 0, none >= 0 else { throw LaunchFailure(.mountProc, nil) }
        defer {
            _ = close(empty)
            _ = close(none)
        }
        var attributes = EXEC2_FILE_SYSTEM_NO_DEVICES.rawValue | EXEC2_FILE_SYSTEM_NO_EXEC.rawValue
        if message.read_only_proc != 0 { attributes |= EXEC2_FILE_SYSTEM_READ_ONLY.rawValue }
        let proc = RootTree.fileSystem("proc", [], attributes)
        guard proc >= 0 else { throw LaunchFailure(.mountProc, nil) }
        try tree.mount(proc, isDirectory: true, at: Self.proc)
        for index in 0..<message.n_masked {
            var place = Self.proc
            for name in PathBytes(message.masked[index]).components { place.append(name) }
            try mask(place, with: empty, or: none, in: &tree)
        }
    }

    private func mask(
        _ place: PathBytes, with empty: Int32, or none: Int32, in tree: inout RootTree
    ) throws(LaunchFailure) {
        let found = tree.open(place)
        // A kernel without it has nothing to hide.
        guard found >= 0 else { return }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        let mask = exec2_clone_mount(isDirectory ? none : empty, "", 0)
        guard mask >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try tree.mount(mask, isDirectory: isDirectory, at: place)
    }

    private func mountTerminals(in tree: inout RootTree) throws(LaunchFailure) {
        let terminals = RootTree.fileSystem(
            "devpts",
            [
                RootTree.pointer("newinstance"), nil, RootTree.pointer("ptmxmode"), RootTree.pointer("0666"),
                RootTree.pointer("mode"), RootTree.pointer("0620"),
            ],
            EXEC2_FILE_SYSTEM_NO_EXEC.rawValue)
        guard terminals >= 0 else { throw LaunchFailure(.rootMount, .last, Self.terminals.text) }
        try tree.mount(terminals, isDirectory: true, at: Self.terminals)
        // Kept for commands with a terminal: a path could lead elsewhere in a task that has changed its root.
        let kept = tree.open(Self.terminals)
        guard kept >= 0, exec2_replace_descriptor(kept, TemplateDescriptor.terminals) >= 0 else {
            throw LaunchFailure(.rootMount, .last, Self.terminals.text)
        }
        _ = close(kept)
    }

    /// Goes back to the host's namespace; the task has been cloned. A descriptor of the task's.
    func leave() throws(LaunchFailure) -> Int32 {
        let namespace = exec2_open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        guard namespace >= 0, exec2_setns(hostNamespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else {
            throw LaunchFailure(.enterTemplate, nil)
        }
        _ = close(hostNamespace)
        _ = close(hostProc)
        return namespace
    }

    private static var proc: PathBytes { PathBytes("/proc") }
    private static var emptyFile: PathBytes { PathBytes("/proc/empty") }
    private static var emptyDirectory: PathBytes { PathBytes("/proc/none") }
    private static var shm: PathBytes { PathBytes("/dev/shm") }
    private static var terminals: PathBytes { PathBytes("/dev/pts") }
}

/// A tmpfs of the task's own: the way to its directories, and /dev/shm.
private struct OwnFiles {
    /// A detached mount of an empty directory.
    let tree: Int32
    /// The same, that everybody can write to; -1: none.
    let shm: Int32

    /// It is attached at /proc for a moment, where nobody but this process sees it: below Linux 6.15 a part of a file
    /// system can be cloned out of an attached one only.
    static func make(shmSize: UInt64) throws(LaunchFailure) -> OwnFiles {
        let file = RootTree.memory(bytes: max(shmSize, RootTree.skeletonBytes), EXEC2_FILE_SYSTEM_NO_DEVICES)
        guard file >= 0, exec2_attach_mount(file, AT_FDCWD, "/proc") == 0 else { throw LaunchFailure(.rootMount, nil) }
        defer {
            _ = exec2_detach_mount("/proc")
            _ = CLinux.close(file)
        }
        guard mkdirat(file, "tree", 0o755) == 0, mkdirat(file, "shm", 0o1777) == 0 else {
            throw LaunchFailure(.rootEntry, nil)
        }
        let tree = exec2_clone_mount(file, "tree", 0)
        let shm = shmSize > 0 ? exec2_clone_mount(file, "shm", 0) : -1
        guard tree >= 0, shm >= 0 || shmSize == 0 else { throw LaunchFailure(.rootMount, nil) }
        return OwnFiles(tree: tree, shm: shm)
    }

    func close() {
        for number in [tree, shm] where number >= 0 { _ = CLinux.close(number) }
    }
}
