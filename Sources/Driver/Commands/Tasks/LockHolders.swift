import EventLoop
import Glibc
import Shared
import Supervision

/// Who holds which file's lock (proc_locks(5)): to try it oneself would be to take it.
struct LockHolders: Sendable {
    private struct File: Hashable {
        let major: UInt32
        let minor: UInt32
        let inode: UInt64
    }

    private var pids: [File: Int32] = [:]

    static func read() -> LockHolders {
        LockHolders(String(decoding: (try? HostFile.read("/proc/locks")) ?? [], as: UTF8.self))
    }

    /// - Parameter text: Lines such as `1: FLOCK  ADVISORY  WRITE 811 00:19:5678 0 EOF`.
    init(_ text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", let pid = Int32(words[4]), pid > 0 else { continue }
            let file = words[5].split(separator: ":")
            guard file.count == 3, let major = UInt32(file[0], radix: 16), let minor = UInt32(file[1], radix: 16),
                let inode = UInt64(file[2])
            else { continue }
            pids[File(major: major, minor: minor, inode: inode)] = pid
        }
    }

    func holder(major: UInt32, minor: UInt32, inode: UInt64) -> Int32? {
        pids[File(major: major, minor: minor, inode: inode)]
    }

    func holder(of directory: TaskStateDirectory) -> Int32? {
        var facts = stat()
        guard lstat(directory.path + "/" + StateFile.lock, &facts) == 0 else { return nil }
        // glibc's makedev(3) in reverse.
        let device = UInt64(facts.st_dev)
        let major = UInt32((device >> 8) & 0xFFF | (device >> 32) & 0xFFFF_F000)
        let minor = UInt32(device & 0xFF | (device >> 12) & 0xFFFF_FF00)
        return holder(major: major, minor: minor, inode: UInt64(facts.st_ino))
    }
}
