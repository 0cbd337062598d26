import CLinux
import CMessages
import SharedEmbedded

/// The root of one task: a copy of the template's mount namespace, completed with what only this task has.
///
/// It is made in three steps: `prepare` opens and clones objects of the host in the host's mount namespace; `enter`
/// enters a copy of the template and attaches them; `leave` moves this process to the template once the task has been
/// cloned.
struct TaskRoot {
    private let message: Exec2__Executor__TaskRoot
    /// An O_PATH descriptor of the host's /proc.
    let hostProc: Int32
    /// The parent of the task's directories, as a path without symlinks.
    private let parent: PathBytes
    private var directories: [Directory] = []
    /// The host's mount namespace if a directory is still to be cloned; else -1.
    private var hostNamespace: Int32 = -1
    private var objects = HostObjects()
    private var privateTmp: PrivateTmp?
    /// Whether the task's devpts was handed over, with one of its terminals in use (a command of `run`).
    private var hasTerminal = false

    private struct Directory {
        /// A detached mount; with a `source` an O_PATH descriptor of the directory, which is still to be cloned.
        let tree: Int32
        let inside: PathBytes
        /// The path below `TaskParent` of a directory that is still to be cloned; nil if `tree` is a mount.
        var source: UnsafePointer<CChar>?
    }

    // MARK: In the host's namespace

    /// Opens and clones what the task's root shows of the host beside the template. Nil if the request names no root,
    /// as that of a Driver of an earlier release.
    static func prepare(_ request: LaunchRequest.Message) throws(LaunchFailure) -> TaskRoot? {
        guard let message = request.root?.pointee else { return nil }
        let proc = exec2_open("/proc", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard proc >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        var root = try TaskRoot(message: message, hostProc: proc)
        root.privateTmp = try PrivateTmp(message, &root.objects)
        root.hasTerminal = request.attachment.map { $0.pointee.own_terminals != 0 } ?? false
        let isReplaced = try root.replacesDirectories()
        if isReplaced { try root.makePlaces(user: request.user_id, group: request.group_id) }
        try root.clone(replacements: isReplaced)
        for index in 0..<message.n_paths {
            if let path = message.paths[index]?.pointee { try root.objects.add(path) }
        }
        try root.objects.clone()
        return root
    }

    private init(message: Exec2__Executor__TaskRoot, hostProc: Int32) throws(LaunchFailure) {
        self.message = message
        self.hostProc = hostProc
        objects.ownsDeviceDirectories = message.terminals != 0
        parent = try objects.addDirectories(to: message.parent)
    }

    /// Whether the client's bind mounts are missing, as after a reboot: the task then gets their sources.
    private func replacesDirectories() throws(LaunchFailure) -> Bool {
        guard message.n_replacements > 0, message.n_directories > 0, let first = message.directories[0]?.pointee else {
            return false
        }
        let isEmpty = exec2_is_empty_below(first.source_root, first.source)
        if isEmpty >= 0 { return isEmpty == 1 }
        let failure = LaunchFailure(.taskDirectory, .last, Self.path(first))
        guard failure.errno == .noSuchFile else { throw LaunchFailure(.ownDirectory, failure.errno, failure.subject) }
        throw failure
    }

    /// Makes the mount point of the shared directory in the task's directory, which lacks it if the client mounts both
    /// elsewhere. It is made as the task's user, so if the path leads elsewhere, only where that user may create it.
    private func makePlaces(user: UInt32, group: UInt32) throws(LaunchFailure) {
        guard let first = message.replacements[0]?.pointee else { return }
        for index in 1..<message.n_replacements {
            guard let directory = message.replacements[index]?.pointee, directory.only_mounts == 0,
                directory.read_only == 0
            else { continue }
            let inside = PathBytes(directory.inside)
            var place = PathBytes(first.source)
            for name in inside.components.dropFirst(PathBytes(first.inside).components.count) { place.append(name) }
            guard place.withRelativePath({ exec2_make_directory_below(first.source_root, $0, user, group) }) == 0 else {
                throw LaunchFailure(.taskDirectory, .last, parent.text + inside.text)
            }
        }
    }

    /// Directories that are on one mount on the host stay on one, so that programs can rename between them.
    private mutating func clone(replacements: Bool) throws(LaunchFailure) {
        let chosen =
            replacements
            ? UnsafeBufferPointer(start: message.replacements, count: message.n_replacements)
            : UnsafeBufferPointer(start: message.directories, count: message.n_directories)
        let stage: LaunchStage = replacements ? .taskDirectory : .ownDirectory
        // Opened once: if the job has chosen this path, another task could redirect it before the logs are opened by
        // it.
        let sources = exec2_open(chosen.first??.pointee.source_root, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard sources >= 0 else { throw LaunchFailure(stage, chosen.first??.pointee.source_root) }
        defer { _ = close(sources) }
        var mounts: [(inside: PathBytes, id: UInt64)] = []
        for pointer in chosen {
            guard let directory = pointer?.pointee else { continue }
            let found = exec2_open_no_symlinks(sources, directory.source, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 1)
            // Without a log directory there is nothing to make read-only.
            if found < 0, directory.read_only != 0, Errno.last == .noSuchFile { continue }
            guard found >= 0 else { throw LaunchFailure(stage, .last, Self.path(directory)) }
            defer { _ = close(found) }
            let inside = PathBytes(directory.inside)
            try privateTmp?.clone(found, at: inside)
            let id = exec2_mount_id(found)
            if directory.only_mounts != 0, let above = mounts.last(where: { $0.inside.isAtOrAbove(inside) }),
                above.id == id, id != 0
            {
                continue
            }
            if !replacements, directories.isEmpty, id != 0, id == exec2_mount_id(sources) {
                let kept = exec2_duplicate(found, 0)
                hostNamespace = exec2_openat(hostProc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
                guard kept >= 0, hostNamespace >= 0 else { throw LaunchFailure(stage, .last, Self.path(directory)) }
                mounts.append((inside, id))
                directories.append(
                    Directory(tree: kept, inside: inside, source: UnsafePointer(directory.source)))
                continue
            }
            let tree = exec2_clone_mount(found, "", 0)
            let options = directory.read_only != 0 ? EXEC2_TREE_READ_ONLY.rawValue : 0
            guard tree >= 0,
                // Private: what is mounted in it for the task must not propagate to the host.
                exec2_tree_attributes(tree, Int32(bitPattern: options | EXEC2_TREE_NO_DEVICES.rawValue)) == 0
            else { throw LaunchFailure(stage, .last, Self.path(directory)) }
            mounts.append((inside, id))
            directories.append(Directory(tree: tree, inside: inside))
        }
    }

    private static func path(_ directory: Exec2__Executor__RootDirectory) -> String {
        String(cString: directory.source_root) + "/" + String(cString: directory.source)
    }

    // MARK: In a copy of the template

    /// Enters a copy of the template and attaches what only this task has.
    /// - Parameters:
    ///   - mounts: Volumes get new descriptors. Their mount points outside of the task's directories are made.
    ///   - network: The task's network namespace; -1: the host's.
    ///   - networkPath: The path of that namespace, for errors.
    ///   - ahead: What a standby Executor made of the root before the request; nil: nothing that this task can have.
    func enter(
        _ mounts: inout TaskMounts, network: Int32, networkPath: UnsafePointer<CChar>?, ahead: RootAhead?
    ) throws(LaunchFailure) {
        let mask = umask(0)
        defer { _ = umask(mask) }
        // The task sees this process as /proc/1, and this process's network in /proc/1/net.
        guard network < 0 || exec2_setns(network, UInt64(EXEC2_CLONE_NEWNET)) == 0 else {
            throw LaunchFailure(.enterNetwork, networkPath)
        }
        guard exec2_setns(TemplateDescriptor.namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else {
            throw LaunchFailure(.enterTemplate, nil)
        }
        let trees = try clonedDirectories()
        if let ahead {
            try ahead.enter()
        } else {
            guard exec2_unshare_mounts() == 0 else { throw LaunchFailure(.enterTemplate, nil) }
            try TaskParent.detach()
        }
        var tree = try RootTree.ofThisNamespace()
        let showsRoot = objects.showsRoot
        try tree.add(
            objects, devices: showsRoot ? try templates(Self.devices, of: tree) : -1,
            proc: showsRoot ? try templates(Self.proc, of: tree) : -1)
        let common: CommonRoot
        if let ahead {
            common = ahead.common
        } else {
            common = try CommonRoot.make(message, in: &tree, terminals: hasTerminal)
        }
        // Before the task's own directories are attached, which are in hidden ones. Without binds, everything of the
        // host is the template's, in which hidden directories are covered already.
        if !objects.binds.isEmpty {
            try common.masks.hidden().cover(in: &tree, rules: objects.binds.map { $0.place }, proc: hostProc)
        }
        try privateTmp?.attach(to: &tree, before: parent)
        try attachDirectories(common.own, trees, to: &tree)
        if !mounts.volumes.isEmpty { try mounts.cover(common.masks.hidden(), in: &tree, proc: hostProc) }
        try mounts.makePlaces(in: &tree)
        // After everything that copies mounts: mountinfo lists mounts in the order in which they were made.
        try OwnCgroup(message)?.attach(common.own.cgroup, to: tree)
        try tree.finish()
        common.close()
    }

    /// Whether this root shows nothing of the host beside the template and the task's own directories.
    func isPlain(_ mounts: TaskMounts) -> Bool {
        objects.binds.isEmpty && privateTmp == nil && mounts.files.isEmpty && mounts.volumes.isEmpty
    }

    /// Whether it can be completed from a root that was made before the request.
    func isCompleted(from ahead: RootAhead) -> Bool {
        // The host's root or /dev is mounted before anything else, and a terminal that is in use is of another devpts.
        !objects.showsRoot && !objects.coversDevices && !hasTerminal && ahead.fits(message)
    }

    /// A detached mount of a directory of the template.
    private func templates(_ place: PathBytes, of tree: RootTree) throws(LaunchFailure) -> Int32 {
        let found = tree.open(place)
        defer { _ = close(found) }
        let copy = found >= 0 ? exec2_clone_mount(found, "", 1) : -1
        guard copy >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        return copy
    }

    /// Attaches the task's directories. The directories above them have the task's name, which no other task may see:
    /// they are in a tmpfs of the task's own, not in the template.
    private func attachDirectories(
        _ own: OwnFiles, _ trees: [Int32], to tree: inout RootTree
    ) throws(LaunchFailure) {
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
        try tree.mount(try RootTree.duplicate(own.tree, at: parent), isDirectory: true, at: parent)
        for (index, directory) in directories.enumerated() {
            var place = parent
            for name in directory.inside.components { place.append(name) }
            try tree.mount(trees[index], isDirectory: true, at: place)
        }
    }

    /// Detached mounts of the task's directories; those that `prepare` has left are cloned here, in the template.
    private func clonedDirectories() throws(LaunchFailure) -> [Int32] {
        var trees: [Int32] = []
        for directory in directories { trees.append(try cloned(directory)) }
        if hostNamespace >= 0 { _ = close(hostNamespace) }
        return trees
    }

    private func cloned(_ directory: Directory) throws(LaunchFailure) -> Int32 {
        guard let source = directory.source else { return directory.tree }
        defer { _ = close(directory.tree) }
        var clone = TaskParent.clone(source, like: directory.tree)
        if clone < 0 { clone = try clonedOnHost(directory.tree) }
        guard clone >= 0,
            exec2_tree_attributes(clone, Int32(bitPattern: EXEC2_TREE_NO_DEVICES.rawValue)) == 0
        else { throw LaunchFailure(.ownDirectory, .last, parent.text + "/" + String(cString: source)) }
        return clone
    }

    /// For a directory that the client has replaced since the template was made: `TaskParent` has another one at its
    /// path.
    private func clonedOnHost(_ directory: Int32) throws(LaunchFailure) -> Int32 {
        let own = exec2_openat(hostProc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        guard own >= 0, exec2_setns(hostNamespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else {
            throw LaunchFailure(.enterTemplate, nil)
        }
        defer { _ = close(own) }
        let clone = exec2_clone_mount(directory, "", 0)
        let error = Errno.last
        guard exec2_setns(own, UInt64(EXEC2_CLONE_NEWNS)) == 0 else { throw LaunchFailure(.enterTemplate, nil) }
        guard clone >= 0 else { throw LaunchFailure(.ownDirectory, error, parent.text) }
        return clone
    }

    private func makeDirectory(_ place: PathBytes, in directory: Int32) -> Bool {
        place.withRelativePath { mkdirat(directory, $0, 0o755) == 0 }
    }

    /// Moves this process to the template's namespace, once the task has been cloned. Returns a descriptor of the
    /// task's namespace.
    ///
    /// Not to the host's: the task can read this process's /proc/1/mountinfo.
    func leave() throws(LaunchFailure) -> Int32 {
        let namespace = exec2_openat(hostProc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        guard namespace >= 0, exec2_setns(TemplateDescriptor.namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else {
            throw LaunchFailure(.enterTemplate, nil)
        }
        _ = close(TemplateDescriptor.namespace)
        _ = close(hostProc)
        return namespace
    }

    private static var proc: PathBytes { PathBytes("/proc") }
    private static var devices: PathBytes { PathBytes("/dev") }
}
