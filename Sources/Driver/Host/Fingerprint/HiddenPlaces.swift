import CLinux
import EventLoop
import Glibc
import Shared

/// Directories of the host that no task reaches, and what leads into them.
///
/// They are compared as the Executor compares them, by file system and path within it: symlinks, bind mounts and a second
/// mount of the file system lead there too.
struct HiddenPlaces {
    private struct Place {
        /// "major:minor".
        let device: [UInt8]
        /// The components of the path within the file system.
        let path: [[UInt8]]
    }

    /// The lines of /proc/self/mountinfo by the mounts' ids.
    private let mounts: [UInt64: ArraySlice<UInt8>]
    private let hidden: [(name: String, place: Place)]

    /// - Parameters:
    ///   - directories: Those that do not exist count for nothing.
    ///   - examining: Called with each path before it is opened, which may block.
    init(_ directories: [String], examining: (String) -> Void = { _ in }) {
        let mounts = Self.mounts((try? HostFile.read("/proc/self/mountinfo")) ?? [])
        self.mounts = mounts
        hidden = directories.compactMap { name in
            examining(name)
            return Self.place(of: name, in: mounts).map { (name, $0) }
        }
    }

    /// The directory that a path leads to or into, as it was named; nil: none. It may block.
    func directory(atOrAbove path: String) -> String? {
        guard !hidden.isEmpty, let place = Self.place(of: path, in: mounts) else { return nil }
        return hidden.first { $0.place.device == place.device && place.path.starts(with: $0.place.path) }?.name
    }

    private static func place(of path: String, in mounts: [UInt64: ArraySlice<UInt8>]) -> Place? {
        let file = OwnedDescriptor(owning: exec2_open(path, EXEC2_O_PATH | O_CLOEXEC, 0))
        guard file.number >= 0 else { return nil }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/fd/\(file.number)", &buffer, buffer.count)
        guard count > 0, count < buffer.count, let line = mounts[exec2_mount_id(file.number)], let mount = mount(line)
        else {
            return nil
        }
        let whole = components(buffer[..<count].map { UInt8(bitPattern: $0) }[...])
        guard whole.starts(with: mount.at) else { return nil }
        return Place(device: mount.device, path: mount.root + whole.dropFirst(mount.at.count))
    }

    private static func mounts(_ mountinfo: [UInt8]) -> [UInt64: ArraySlice<UInt8>] {
        var lines: [UInt64: ArraySlice<UInt8>] = [:]
        for line in mountinfo.split(separator: UInt8(ascii: "\n")) {
            let id = line.prefix { $0 != UInt8(ascii: " ") }
            if let id = UInt64(String(decoding: id, as: UTF8.self)) { lines[id] = line }
        }
        return lines
    }

    /// A line of /proc/self/mountinfo: id, parent's id, device, root within the file system, mount point (proc(5)).
    private static func mount(_ line: ArraySlice<UInt8>) -> (device: [UInt8], root: [[UInt8]], at: [[UInt8]])? {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
        guard fields.count == 6 else { return nil }
        return (
            Array(fields[2]), components(CgroupHierarchy.unescaped(fields[3])[...]),
            components(CgroupHierarchy.unescaped(fields[4])[...])
        )
    }

    private static func components(_ path: ArraySlice<UInt8>) -> [[UInt8]] {
        path.split(separator: UInt8(ascii: "/")).map { Array($0) }
    }
}
