import EventLoop
import Shared

/// Where the host has cgroup v2, and what it can limit there.
package struct CgroupHierarchy: Equatable, Sendable {
    /// The mount point.
    package let path: String
    /// The names in the root's `cgroup.controllers`. A controller that is in use by cgroup v1 is not among them.
    package let controllers: [String]

    /// The hierarchy of this host; nil where cgroup v2 is not mounted.
    package static func onHost() -> CgroupHierarchy? {
        guard let mounts = try? HostFile.read("/proc/self/mountinfo"),
            let path = mountPoint(inMountinfo: mounts)
        else { return nil }
        let list = (try? HostFile.read(path + "/cgroup.controllers")) ?? []
        return CgroupHierarchy(path: path, controllers: controllers(in: list))
    }

    /// The mount point of cgroup v2 in /proc/self/mountinfo (proc(5)): the usual one where it is one, else the
    /// first mount of the whole hierarchy, else the first of any part of it.
    static func mountPoint(inMountinfo text: [UInt8]) -> String? {
        var best: (path: String, rank: Int)?
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "))
            // A line has any number of optional fields before the dash, which the type follows.
            guard fields.count > 6, let dash = fields[6...].firstIndex(where: { $0.elementsEqual("-".utf8) }),
                dash + 1 < fields.count, fields[dash + 1].elementsEqual("cgroup2".utf8)
            else { continue }
            let path = String(decoding: unescaped(fields[4]), as: UTF8.self)
            let rank = path == "/sys/fs/cgroup" ? 0 : fields[3].elementsEqual("/".utf8) ? 1 : 2
            if best.map({ rank < $0.rank }) ?? true { best = (path, rank) }
        }
        return best?.path
    }

    package static func controllers(in list: [UInt8]) -> [String] {
        list.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }.map { String(decoding: $0, as: UTF8.self) }
    }

    /// The kernel writes space, tab, newline and backslash in a path as a backslash and three octal digits.
    static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            guard byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ 0x30...0x37 ~= $0 }) else {
                result.append(byte)
                continue
            }
            result.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 << 3 | Int($1 - 0x30) }))
            rest = rest.dropFirst(3)
        }
        return result
    }
}
