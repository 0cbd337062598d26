import CLinux
import EventLoop
import Glibc
import Shared

/// Which file it is, by whatever path.
struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    /// Nil where `path` does not lead to a FIFO.
    init?(fifo path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFIFO else { return nil }
        device = UInt64(facts.st_dev)
        inode = UInt64(facts.st_ino)
    }
}

/// The open files of processes, from /proc/<pid>/fd (proc_pid_fd(5)).
enum OpenFiles {
    /// Descriptor and what it leads to; none where the process is gone.
    static func links(of pid: Int32) -> [(number: String, path: String)] { (try? read(of: pid)) ?? [] }

    /// As above, but what cannot be read is an error, and not nothing.
    static func read(of pid: Int32) throws(SystemError) -> [(number: String, path: String)] {
        let directory = "/proc/\(pid)/fd"
        var links: [(number: String, path: String)] = []
        for number in try DirectoryListing.read(directory) {
            if let path = try target(of: "\(directory)/\(number)") { links.append((number, path)) }
        }
        return links
    }

    /// Nil where the link is gone by now.
    static func target(of link: String) throws(SystemError) -> String? {
        // A result, since in Swift 6.2 a closure of this function cannot throw only errors of one type.
        let read = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) {
            buffer -> Result<String?, SystemError> in
            guard let text = buffer.baseAddress else { return .success(nil) }
            let count = readlink(link, text, buffer.count)
            guard count >= 0 else {
                return Errno.last == .noSuchFile ? .success(nil) : .failure(SystemError("read the link", link))
            }
            return .success(String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return try read.get()
    }

    /// A FIFO whose readers are looked for.
    struct Wanted: Sendable {
        let path: String
        let file: FileIdentity
        /// Does not count.
        let besides: Int32
    }

    /// Those of the FIFOs that a process has open for reading, besides the one named with each.
    ///
    /// Descriptors of every process of the host are looked at. What they lead to is asked only of those that have the
    /// name and, where the kernel tells it without asking the file system, the inode number of one that is wanted:
    /// stat(2) on a file of a network file system that does not answer never returns.
    ///
    /// - Parameter identity: What a link leads to.
    static func read(
        among wanted: [Wanted], identity: (_ link: String) -> FileIdentity? = { FileIdentity(fifo: $0) }
    ) -> Set<FileIdentity> {
        // The logs of a job's tasks all have one name: what is wanted must not be gone through for each descriptor.
        let byName = Dictionary(grouping: wanted) { name(of: $0.path) }.mapValues { wanted in
            Dictionary(grouping: wanted, by: \.file.inode)
        }
        let files = Set(wanted.map(\.file))
        var found: Set<FileIdentity> = []
        for entry in DirectoryListing.names(in: "/proc") ?? [] {
            guard let process = Int32(entry) else { continue }
            for number in DirectoryListing.names(in: "/proc/\(process)/fd") ?? [] {
                let link = "/proc/\(process)/fd/\(number)"
                guard let path = try? target(of: link) else { continue }
                guard let named = byName[name(of: path)], let facts = DescriptorFacts(process, number), facts.mayRead
                else { continue }
                let candidates = (facts.inode.map { named[$0] ?? [] } ?? named.values.flatMap { $0 }).filter {
                    $0.besides != process && !found.contains($0.file)
                }
                guard !candidates.isEmpty, let file = identity(link), candidates.contains(where: { $0.file == file })
                else { continue }
                found.insert(file)
            }
            if found.count == files.count { break }
        }
        return found
    }

    /// The last component of a link's text; the directories before it differ between mount namespaces.
    private static func name(of path: String) -> Substring {
        let path = withoutRemovedMark(path)
        return path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...]
    }

    /// The text of a link without what the kernel puts behind the path of a file that has no name any more
    /// (proc_pid_fd(5)).
    static func withoutRemovedMark(_ path: String) -> Substring {
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? path.dropLast(mark.count) : path[...]
    }
}

/// What the kernel tells of a descriptor by itself (proc_pid_fdinfo(5)).
struct DescriptorFacts: Equatable, Sendable {
    /// Whether it was opened for reading.
    let mayRead: Bool
    /// Nil before Linux 5.14.
    let inode: UInt64?

    /// Nil where the process or its descriptor is gone.
    fileprivate init?(_ pid: Int32, _ number: String) {
        guard let bytes = try? HostFile.read("/proc/\(pid)/fdinfo/\(number)") else { return nil }
        self.init(fdinfo: String(decoding: bytes, as: UTF8.self))
    }

    /// - Parameter fdinfo: What the file holds. The line "flags:" has open(2)'s flags in octal.
    init(fdinfo: String) {
        var flags: Int32?
        var inode: UInt64?
        for line in fdinfo.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            switch words.first {
            case "flags:": flags = words.dropFirst().first.flatMap { Int32($0, radix: 8) }
            case "ino:": inode = words.dropFirst().first.flatMap { UInt64($0) }
            default: break
            }
        }
        mayRead = flags.map { $0 & EXEC2_O_PATH == 0 && $0 & O_ACCMODE != O_WRONLY } ?? false
        self.inode = inode
    }
}
