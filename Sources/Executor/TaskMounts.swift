import CLinux
import CMessages
import SharedEmbedded

/// What the task gets mounted: opened, restricted and unveiled before the clone, so that the child only has to
/// attach it.
///
/// The ruleset names what was opened here, not what a destination leads to when the mount is there.
struct TaskMounts {
    struct File {
        /// A detached file system (`exec2_memory_file`).
        let descriptor: Int32
        /// What it takes the place of.
        let path: UnsafePointer<CChar>?
    }

    struct Volume {
        /// A detached mount.
        let descriptor: Int32
        let isDirectory: Bool
        let root: UnsafePointer<CChar>?
        /// Below `root`.
        let inside: UnsafePointer<CChar>?
        /// The destination is made where it is missing.
        let isMade: Bool
    }

    private(set) var files: [File] = []
    private(set) var volumes: [Volume] = []
    /// The task's own, in the client's stead.
    private(set) var directories: [Volume] = []

    /// Opens what a request names. A launch that fails ends the process, and descriptors with it.
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

    /// A device is there to be opened; device nodes in a volume are not.
    private static func options(_ mount: Exec2__Executor__Mount) -> Int32 {
        var options: UInt32 = 0
        if mount.device == 0 { options |= EXEC2_TREE_NO_DEVICES.rawValue }
        if mount.read_only != 0 { options |= EXEC2_TREE_READ_ONLY.rawValue }
        if mount.no_exec != 0 { options |= EXEC2_TREE_NO_EXEC.rawValue }
        if mount.follow_host != 0 { options |= EXEC2_TREE_SLAVE.rawValue }
        return Int32(bitPattern: options)
    }

    /// The task has them now.
    func close() {
        for file in files { _ = CLinux.close(file.descriptor) }
        for volume in volumes + directories { _ = CLinux.close(volume.descriptor) }
    }
}
