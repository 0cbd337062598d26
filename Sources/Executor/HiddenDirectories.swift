import CLinux
import SharedEmbedded

/// Directories of the host that no task reaches, whatever is unveiled: the client's allocations, whose logs the agent
/// opens as root, and the driver's state.
///
/// They are not recognized by their paths, since symlinks, bind mounts and a second mount of the file system lead there
/// as well. Instead, their file system and their path within it are compared with every mount of a task's root.
struct HiddenDirectories {
    private struct Directory {
        /// "major:minor", as in `MountTable`.
        let device: [UInt8]
        /// The path within the file system.
        let path: PathBytes

        /// Where a mount of the file system shows this directory or a part of it; nil if it does not.
        func place(in mount: MountTable.Mount) -> PathBytes? {
            if path.isAtOrAbove(mount.root) { return mount.place }
            guard mount.root.isAtOrAbove(path) else { return nil }
            var place = mount.place
            for name in path.components.dropFirst(mount.root.components.count) { place.append(name) }
            return place
        }
    }

    private var directories: [Directory] = []

    /// Adds a directory of the host, if it exists. To be called in the host's mount namespace.
    mutating func add(_ path: UnsafePointer<CChar>?, in table: MountTable, proc: Int32) throws(LaunchFailure) {
        guard let path else { return }
        let found = exec2_open(path, EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        if found < 0, Errno.last == .noSuchFile || Errno.last == .notDirectory { return }
        guard found >= 0 else { throw LaunchFailure(.hiddenDirectory, path) }
        defer { _ = close(found) }
        let id = exec2_mount_id(found)
        guard id != 0, let place = Self.place(of: found, proc) else { throw LaunchFailure(.hiddenDirectory, path) }
        guard let mount = table.mounts.last(where: { $0.id == id }) else {
            throw LaunchFailure(.hiddenDirectory, .noSuchFile, String(cString: path))
        }
        var inside = mount.root
        for name in place.components.dropFirst(mount.place.components.count) { inside.append(name) }
        directories.append(Directory(device: mount.device, path: inside))
    }

    private static func place(of descriptor: Int32, _ proc: Int32) -> PathBytes? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 48 + Int(PATH_MAX)) { buffer -> PathBytes? in
            guard let name = buffer.baseAddress else { return nil }
            writeDescriptorPath(descriptor, directory: "self/fd/", into: name)
            let length = readlinkat(proc, name, name + 48, Int(PATH_MAX))
            guard length > 0 else { return nil }
            return PathBytes(bytes: UnsafeRawBufferPointer(start: name + 48, count: length))
        }
    }

    // MARK: Between the maker of a template and those who use it

    /// The contents of the template's file: for each directory the device and the path's components, separated by NUL
    /// bytes, and two NUL bytes at the end.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for directory in directories {
            bytes += directory.device
            for component in directory.path.components { bytes += [0] + component }
            bytes += [0, 0]
        }
        return bytes
    }

    init() {}

    init(_ encoded: [UInt8]) {
        var fields: [[UInt8]] = []
        for field in encoded.split(separator: 0, omittingEmptySubsequences: false) {
            if !field.isEmpty {
                fields.append(Array(field))
            } else if let device = fields.first {
                directories.append(Directory(device: device, path: PathBytes(Array(fields.dropFirst()))))
                fields.removeAll()
            }
        }
    }

    // MARK: In a root

    /// Mounts an empty directory or file over every hidden directory, or part of one, that a mount of this namespace
    /// shows. What is mounted there is detached first: /proc/<pid>/mountinfo would still list it, with the ids of other
    /// allocations.
    ///
    /// - Parameters:
    ///   - below: Only mounts at this place or below it.
    ///   - rules: The places of rules and volumes. One in a hidden directory is an error: an empty directory would not
    ///     show why.
    func cover(
        in tree: inout RootTree, below: PathBytes = PathBytes(), rules: [PathBytes], proc: Int32
    ) throws(LaunchFailure) {
        guard !directories.isEmpty else { return }
        let mounts = try MountTable.read(proc: proc).mounts.filter { below.isAtOrAbove($0.place) }
        var covered: [PathBytes] = []
        for mount in mounts {
            for directory in directories where directory.device == mount.device {
                guard let place = directory.place(in: mount) else { continue }
                let isWhole = place.isEqual(to: mount.place)
                let isRule = isWhole && rules.contains { $0.isEqual(to: place) }
                if !isRule, covered.contains(where: { $0.isAtOrAbove(place) }) { continue }
                // Skips what another mount covers. Of a part of a mount the parent is checked: whatever is mounted on
                // the part itself is to be covered as well.
                guard try tree.shows(mount.id, at: isWhole ? place : place.parent) else { continue }
                if isRule { throw LaunchFailure(.hiddenDirectory, .permissionDenied, place.text) }
                covered.append(place)
            }
        }
        covered = covered.filter { place in
            !covered.contains { $0.components.count < place.components.count && $0.isAtOrAbove(place) }
        }
        try detach(mounts.filter { mount in covered.contains { $0.isAtOrAbove(mount.place) } }, from: tree, proc)
        for place in covered { try tree.cover(place) }
    }

    /// Detaches each mount with those below it. Of mounts at one place, the topmost comes first.
    private func detach(
        _ mounts: [MountTable.Mount], from tree: RootTree, _ proc: Int32
    ) throws(LaunchFailure) {
        var rest = mounts
        while !rest.isEmpty {
            var hidden: [MountTable.Mount] = []
            for mount in rest {
                guard let found = try tree.find(mount.place) else { continue }
                defer { _ = close(found) }
                if try RootTree.mountID(of: found, mount.place) != mount.id {
                    hidden.append(mount)
                } else if exec2_detach_open_mount(proc, found) != 0 {
                    throw LaunchFailure(.rootMount, .last, mount.place.text)
                }
            }
            // The rest cannot be reached: they were detached with a mount above them.
            if hidden.count == rest.count { return }
            rest = hidden
        }
    }
}
