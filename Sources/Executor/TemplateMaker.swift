import CLinux
import CMessages
import SharedEmbedded

/// Makes the template of tasks' roots in a mount namespace of its own, and waits until the Driver holds that.
///
/// The template shows what every task of a plugin configuration reaches, and nothing else of the host. Each Executor
/// enters a copy of it (`TaskRoot`).
enum TemplateMaker {
    /// Makes the template of a request, reports how that went, and ends with the Driver's end of the launch pipe.
    static func run(_ request: LaunchRequest) -> Int32 {
        _ = exec2_set_process_name("exec2-template")
        _ = umask(0)
        do throws(LaunchFailure) {
            try request.checkVersion()
            if let template = request.message.pointee.root_template { try make(template.pointee) }
            report(0, Errno(rawValue: 0), "")
        } catch {
            report(error.stage.rawValue, error.errno, error.subject)
            return ExecutorExit.launchFailed
        }
        LaunchRequest.waitForLauncher()
        return ExecutorExit.finished
    }

    private static func make(_ template: Exec2__Executor__RootTemplate) throws(LaunchFailure) {
        // Slaves: what is mounted here stays here.
        guard exec2_unshare_mounts() == 0, exec2_make_mounts_slave() == 0 else {
            throw LaunchFailure(.privateMounts, nil)
        }
        var objects = HostObjects()
        for index in 0..<template.n_paths {
            if let path = template.paths[index]?.pointee { try objects.add(path) }
        }
        var directories: [PathBytes] = []
        for index in 0..<template.n_directories {
            directories.append(try objects.addWay(to: template.directories[index]))
        }
        try objects.clone()

        let file = RootTree.memory(bytes: RootTree.skeletonBytes, EXEC2_FILE_SYSTEM_NO_DEVICES)
        // It needs a place until it is the root. Whatever is there on the host, /proc is a directory.
        guard file >= 0, exec2_attach_mount(file, AT_FDCWD, "/proc") == 0 else { throw LaunchFailure(.rootMount, nil) }
        var tree = RootTree(root: exec2_duplicate(file, 0))
        try copyTopLevel(to: &tree)
        try tree.addMasks()
        try tree.add(objects)
        for directory in directories { try tree.empty(directory, under: objects) }
        for index in 0..<template.n_placeholders {
            guard let path = template.placeholders[index], access(path, F_OK) == 0 else { continue }
            try tree.makeFile(PathBytes(path))
        }
        for index in stride(from: 0, to: template.n_symlinks & ~1, by: 2) {
            let place = PathBytes(template.symlinks[index])
            try tree.makeDirectory(place.parent)
            let target = template.symlinks[index + 1]
            try tree.symlink(
                place, to: target.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? [])
        }
        tree.end()
        if objects.showsRoot { return }
        guard exec2_make_read_only(file) == 0 else { throw LaunchFailure(.rootMount, nil) }
        guard exec2_enter_root(file) == 0 else { throw LaunchFailure(.rootMount, nil) }
        _ = close(file)
    }

    /// The host's other top-level directories stand there, empty: a path below one leads nowhere.
    private static func copyTopLevel(to tree: inout RootTree) throws(LaunchFailure) {
        guard let stream = opendir("/") else { throw LaunchFailure(.rootEntry, .last, "/") }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = nameBytes(entry)
            if name.count <= 2, name.allSatisfy({ $0 == UInt8(ascii: ".") }) { continue }
            let place = PathBytes([name])
            var facts = exec2_file_facts()
            let found = place.withRelativePath {
                exec2_openat(dirfd(stream), $0, EXEC2_O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
            }
            // Removed since it was listed.
            guard found >= 0 else { continue }
            defer { _ = close(found) }
            guard exec2_fstat(found, &facts) == 0 else { continue }
            switch facts.type {
            case EXEC2_FILE_DIRECTORY: try tree.makeDirectory(place)
            case EXEC2_FILE_SYMLINK: try tree.symlink(place, to: linkTarget(found))
            default: continue
            }
        }
    }

    private static func report(_ stage: UInt32, _ errno: Errno, _ subject: String) {
        var subject = subject
        subject.withUTF8 { bytes in
            var text = Array(bytes)
            text.append(0)
            text.withUnsafeMutableBytes { buffer in
                var message = Exec2__Executor__TemplateReport()
                exec2__executor__template_report__init(&message)
                message.stage = stage
                message.error = errno.rawValue
                message.subject = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
                withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { frame in
                    guard exec2__executor__template_report__get_packed_size(&message) <= Frame.maximumPayload,
                        let start = frame.baseAddress
                    else { return }
                    let payload = (start + Frame.headerSize).assumingMemoryBound(to: UInt8.self)
                    let size = exec2__executor__template_report__pack(&message, payload)
                    let sealed = Frame.seal(frame, payload: size)
                    _ = retrying { write(TemplateDescriptor.report, sealed.baseAddress, sealed.count) }
                }
            }
        }
    }
}
