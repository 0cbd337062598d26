import CLinux
import CMessages
import SharedEmbedded

/// Volumes, devices and generated files of a task: opened, restricted and unveiled before the clone, so that the child
/// only has to attach them.
///
/// The ruleset's rules are for the objects that were opened here, not for what a destination leads to later.
struct TaskMounts {
    struct File {
        /// A detached file system (`exec2_memory_file`).
        let descriptor: Int32
        /// The path that it is mounted over.
        let path: UnsafePointer<CChar>?
    }

    struct Volume {
        /// A detached mount.
        var descriptor: Int32
        let isDirectory: Bool
        let root: UnsafePointer<CChar>?
        /// Below `root`.
        let inside: UnsafePointer<CChar>?
        /// Whether the child makes a missing destination, as the task's user.
        let isMade: Bool
    }

    private(set) var files: [File] = []
    private(set) var volumes: [Volume] = []
    /// The task's directories, if the client has not mounted them; only for tasks without a root of their own.
    private(set) var directories: [Volume] = []

    /// Opens what a request names. If this fails the process ends, which closes the descriptors.
    static func open(_ request: LaunchRequest.Message, ruleset: Ruleset) throws(LaunchFailure) -> TaskMounts {
        var result = TaskMounts()
        if request.root == nil { result.directories = try TaskDirectories.open(request) }
        for index in 0..<request.n_generated_files {
            guard let file = request.generated_files[index]?.pointee else { continue }
            let descriptor = exec2_memory_file(file.content.data, file.content.len)
            guard descriptor >= 0 else { throw LaunchFailure(.fileContent, file.path) }
            result.files.append(File(descriptor: descriptor, path: UnsafePointer(file.path)))
        }
        for index in 0..<request.n_mounts {
            guard let mount = request.mounts[index]?.pointee else { continue }
            if let volume = try open(mount, ruleset: ruleset) { result.volumes.append(volume) }
        }
        return result
    }

    /// Nil for a device that the task uses in its own place.
    private static func open(
        _ mount: Exec2__Executor__Mount, ruleset: Ruleset
    ) throws(LaunchFailure) -> Volume? {
        let isDevice = mount.device != 0
        let isMounted = !mount.inside.isEmpty
        let descriptor =
            isMounted ? exec2_open_tree(mount.source) : exec2_open(mount.source, EXEC2_O_PATH | O_CLOEXEC, 0)
        var facts = exec2_file_facts()
        guard descriptor >= 0, exec2_fstat(descriptor, &facts) == 0 else {
            throw LaunchFailure(isDevice ? .deviceSource : .mountSource, mount.source)
        }
        let isNode = facts.type == EXEC2_FILE_CHARACTER || facts.type == EXEC2_FILE_BLOCK
        guard isNode == isDevice else {
            throw LaunchFailure(
                isDevice ? .notADevice : .volumeIsDevice, .invalidArgument, String(cString: mount.source))
        }
        if isMounted, exec2_tree_attributes(descriptor, options(mount)) != 0 {
            throw LaunchFailure(.mountAttributes, mount.source)
        }
        let isDirectory = facts.type == EXEC2_FILE_DIRECTORY
        guard ruleset.add(mount.modes, on: isDirectory ? .directory : .file, of: descriptor) else {
            throw LaunchFailure(.mountRule, mount.source)
        }
        guard isMounted else {
            _ = CLinux.close(descriptor)
            return nil
        }
        return Volume(
            descriptor: descriptor, isDirectory: isDirectory, root: UnsafePointer(mount.root),
            inside: UnsafePointer(mount.inside), isMade: mount.make != 0)
    }

    /// The mount options of a volume or device. A device is mounted read-only: it can still be opened for writing, but
    /// the node's mode and owner cannot be changed. In a volume, device nodes cannot be opened.
    private static func options(_ mount: Exec2__Executor__Mount) -> Int32 {
        var options: UInt32 = 0
        if mount.device == 0 { options |= EXEC2_TREE_NO_DEVICES.rawValue }
        if mount.read_only != 0 || mount.device != 0 { options |= EXEC2_TREE_READ_ONLY.rawValue }
        if mount.no_exec != 0 { options |= EXEC2_TREE_NO_EXEC.rawValue }
        if mount.follow_host != 0 { options |= EXEC2_TREE_SLAVE.rawValue }
        return Int32(bitPattern: options)
    }

    // MARK: In a root of the task's own

    /// Covers hidden directories that a volume shows. For that, the volume is briefly attached in this process's
    /// namespace and then cloned, since before Linux 6.15 nothing can be mounted on a detached mount.
    mutating func cover(
        _ hidden: HiddenDirectories, in tree: inout RootTree, proc: Int32
    ) throws(LaunchFailure) {
        for index in volumes.indices {
            let volume = volumes[index]
            let place = PathBytes(volume.isDirectory ? "/proc" : "/proc/version")
            try tree.mount(
                try RootTree.duplicate(volume.descriptor, at: Self.place(of: volume)), isDirectory: volume.isDirectory,
                at: place)
            do throws(LaunchFailure) {
                try hidden.cover(in: &tree, below: place, rules: [place], proc: proc)
            } catch {
                guard error.stage == .hiddenDirectory else { throw error }
                throw LaunchFailure(.hiddenDirectory, error.errno, Self.place(of: volume).text)
            }
            let copy = exec2_clone_mount(volume.descriptor, "", 1)
            guard copy >= 0, place.withRelativePath({ exec2_detach_mount($0) }) == 0 else {
                throw LaunchFailure(.rootMount, .last, Self.place(of: volume).text)
            }
            _ = CLinux.close(volume.descriptor)
            volumes[index].descriptor = copy
        }
    }

    /// Makes the mount points of volumes, devices and generated files that the task's root lacks. None is made in a
    /// directory of the host that is unveiled with `w` or `c`, through a symlink or below a file: there the child's
    /// attaching fails and reports it.
    func makePlaces(in tree: inout RootTree) throws(LaunchFailure) {
        for volume in volumes where !volume.isMade {
            let place = Self.place(of: volume)
            try Self.make(place) { () throws(LaunchFailure) in
                volume.isDirectory ? try tree.makeDirectory(place) : try tree.makeFile(place)
            }
        }
        for file in files {
            let place = PathBytes(file.path)
            try Self.make(place) { () throws(LaunchFailure) in try tree.makeFile(place) }
        }
    }

    private static func make(_ place: PathBytes, _ make: () throws(LaunchFailure) -> Void) throws(LaunchFailure) {
        do throws(LaunchFailure) {
            try make()
        } catch {
            guard [.noSuchFile, .tooManySymlinks, .notDirectory].contains(error.errno) else { throw error }
        }
    }

    private static func place(of volume: Volume) -> PathBytes {
        var place = PathBytes(volume.root)
        for name in PathBytes(volume.inside).components { place.append(name) }
        return place
    }

    /// Closes the descriptors, once the task has the mounts.
    func close() {
        for file in files { _ = CLinux.close(file.descriptor) }
        for volume in volumes + directories { _ = CLinux.close(volume.descriptor) }
    }
}
