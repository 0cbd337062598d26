import CLinux
import CMessages
import SharedEmbedded

/// Makes the template of tasks' roots in a new mount namespace, and waits until the Driver holds that namespace.
///
/// The template shows what every task of a plugin configuration reaches, and nothing else of the host. Each Executor
/// enters a copy of it (`TaskRoot`).
enum TemplateMaker {
    /// Makes the template of a request, reports the result, and ends when the Driver closes its end of the launch pipe.
    static func run(_ request: LaunchRequest) -> Int32 {
        _ = exec2_set_process_name("exec2-template")
        _ = umask(0)
        do throws(LaunchFailure) {
            try LaunchRequest.endWithLauncher()
            try request.checkVersion()
            if let template = request.message.pointee.root_template { try make(template.pointee) }
        } catch {
            _ = report(error.stage.rawValue, error.errno, error.subject)
            return ExecutorExit.launchFailed
        }
        // Without a report the Driver cannot use the template.
        guard report(0, Errno(rawValue: 0), "") else { return ExecutorExit.launchFailed }
        LaunchRequest.waitForLauncher()
        return ExecutorExit.finished
    }

    private static func make(_ template: Exec2__Executor__RootTemplate) throws(LaunchFailure) {
        let proc = exec2_open("/proc", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        guard proc >= 0 else { throw LaunchFailure(.rootMount, .last, "/proc") }
        guard exec2_unshare_mounts() == 0 else { throw LaunchFailure(.privateMounts, nil) }
        // Behind unshare(2): its mounts are those of the copy.
        let host = exec2_open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard host >= 0 else { throw LaunchFailure(.rootMount, .last, "/") }
        // Slaves, all of them: what is mounted or unmounted here does not propagate to the host. In a chroot, the root of
        // this process is not that of its namespace, and the mounts outside of it are unmounted with that.
        try enter(-1, proc)
        guard exec2_make_mounts_slave() == 0 else { throw LaunchFailure(.privateMounts, nil) }
        try enter(host, proc)
        let hidden = try hiddenDirectories(template, proc)
        var objects = HostObjects()
        objects.ownsDeviceDirectories = template.n_symlinks > 0
        for index in 0..<template.n_paths {
            tell(index + 1)
            if let path = template.paths[index]?.pointee { try objects.add(path) }
        }
        var directories: [PathBytes] = []
        for index in 0..<template.n_directories {
            tell(template.n_paths + index + 1)
            directories.append(try objects.addDirectories(to: template.directories[index]))
        }
        tell(0)
        let parent = try TaskParent.clone(template)
        try objects.clone()
        // Checked while this process is still in the host's root.
        var hostPlaceholders: [Int] = []
        for index in 0..<template.n_placeholders where try exists(template.placeholders[index]) {
            hostPlaceholders.append(index)
        }

        // Whoever enters the namespace gets its root.
        try enter(-1, proc)
        let file = RootTree.memory(bytes: RootTree.skeletonBytes)
        // It must be attached somewhere until it becomes the root, and /proc is a directory on every host.
        guard file >= 0, exec2_attach_mount(file, AT_FDCWD, "/proc") == 0 else { throw LaunchFailure(.rootMount, nil) }
        var tree = RootTree(root: try RootTree.duplicate(file, at: PathBytes()))
        try tree.adopt(file, at: PathBytes())
        let showsRoot = objects.showsRoot
        try tree.add(
            objects, devices: showsRoot ? try tree.addFileSystem(for: PathBytes("/dev")) : -1,
            proc: showsRoot ? try tree.addFileSystem(for: PathBytes("/proc")) : -1)
        if !showsRoot { try copyTopLevel(of: host, to: &tree) }
        try Masks.make(in: &tree, hidden)
        for directory in directories { try tree.makeDirectory(directory) }
        for index in hostPlaceholders {
            try tree.makeFile(PathBytes(template.placeholders[index]))
        }
        for index in stride(from: 0, to: template.n_symlinks & ~1, by: 2) {
            let place = PathBytes(template.symlinks[index])
            let target = template.symlinks[index + 1]
            try tree.symlink(
                place, to: target.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? [])
        }
        // Only after this do the places in mountinfo begin at the tree's root, as `cover` expects.
        guard showsRoot || exec2_enter_root(file) == 0 else { throw LaunchFailure(.rootMount, nil) }
        _ = close(file)
        try hidden.cover(in: &tree, rules: objects.binds.map { $0.place }, proc: proc)
        try TaskParent.attach(parent, to: &tree)
        try tree.finish()
    }

    /// Makes a directory the root of this process; -1: the root of its mount namespace.
    private static func enter(_ root: Int32, _ proc: Int32) throws(LaunchFailure) {
        let own = exec2_openat(proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        defer { if own >= 0 { _ = close(own) } }
        guard own >= 0, exec2_enter_mounts(own, root) == 0 else { throw LaunchFailure(.privateMounts, nil) }
    }

    private static func hiddenDirectories(
        _ template: Exec2__Executor__RootTemplate, _ proc: Int32
    ) throws(LaunchFailure) -> HiddenDirectories {
        var hidden = HiddenDirectories()
        let table = try MountTable.read(proc: proc)
        for index in 0..<template.n_hidden { try hidden.add(template.hidden[index], in: table, proc: proc) }
        return hidden
    }

    private static func exists(_ path: UnsafePointer<CChar>?) throws(LaunchFailure) -> Bool {
        guard let path, access(path, F_OK) != 0 else { return path != nil }
        switch Errno.last {
        case .noSuchFile, .notDirectory, .tooManySymlinks: return false
        default: throw LaunchFailure(.rootEntry, path)
        }
    }

    /// Tells the Driver which path is opened next (`TemplateProgress`).
    private static func tell(_ progress: Int) {
        var progress = UInt32(truncatingIfNeeded: progress)
        _ = pwrite(LaunchMemory.descriptor, &progress, 4, TemplateProgress.offset)
    }

    /// Adds the host's other top-level directories, empty, and its top-level symlinks. No file system is asked for
    /// their attributes, since one that is mounted there may not respond.
    /// - Parameter host: The host's root, open for reading; closed here.
    private static func copyTopLevel(of host: Int32, to tree: inout RootTree) throws(LaunchFailure) {
        guard let stream = fdopendir(host) else { throw LaunchFailure(.rootEntry, .last, "/") }
        defer { closedir(stream) }
        while let name = try nextName(in: stream, PathBytes()) {
            let place = PathBytes([name])
            var facts = exec2_file_facts()
            let found = place.withRelativePath {
                exec2_openat(dirfd(stream), $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
            }
            // The host has removed it since it was listed.
            if found < 0, Errno.last == .noSuchFile { continue }
            guard found >= 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
            defer { _ = close(found) }
            guard exec2_fstat_known(found, &facts) == 0 else { throw LaunchFailure(.rootEntry, .last, place.text) }
            switch facts.type {
            case EXEC2_FILE_DIRECTORY: try tree.makeDirectory(place, like: facts)
            case EXEC2_FILE_SYMLINK: try tree.symlink(place, to: linkTarget(found, place))
            default: continue
            }
        }
    }

    /// Sends the report. False if that fails.
    private static func report(_ stage: UInt32, _ errno: Errno, _ subject: String) -> Bool {
        var subject = subject
        return subject.withUTF8 { bytes -> Bool in
            var text = Array(bytes)
            text.append(0)
            return text.withUnsafeMutableBytes { buffer -> Bool in
                var message = Exec2__Executor__TemplateReport()
                exec2__executor__template_report__init(&message)
                message.stage = stage
                message.error = errno.rawValue
                message.subject = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
                return withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { frame -> Bool in
                    guard exec2__executor__template_report__get_packed_size(&message) <= Frame.maximumPayload,
                        let start = frame.baseAddress
                    else { return false }
                    let payload = (start + Frame.headerSize).assumingMemoryBound(to: UInt8.self)
                    let size = exec2__executor__template_report__pack(&message, payload)
                    let sealed = Frame.seal(frame, payload: size)
                    return retrying { write(TemplateDescriptor.report, sealed.baseAddress, sealed.count) }
                        == sealed.count
                }
            }
        }
    }
}
