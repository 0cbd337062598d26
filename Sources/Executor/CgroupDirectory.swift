import CLinux
import CMessages
import SharedEmbedded

/// The task's cgroup v2 directory. Nomad makes and removes it; the Executor writes limits, puts the task
/// in it, and empties it at the end.
struct CgroupDirectory {
    let directory: Int32

    /// Opens the directory; nil where the request names none.
    static func open(_ path: UnsafeMutablePointer<CChar>?) throws(LaunchFailure) -> CgroupDirectory? {
        guard let path, !path.isEmpty else { return nil }
        let directory = exec2_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard directory >= 0 else { throw LaunchFailure(.openCgroup, path) }
        let isCgroup = exec2_is_cgroup2(directory)
        guard isCgroup >= 0 else { throw LaunchFailure(.openCgroup, path) }
        guard isCgroup == 1 else {
            throw LaunchFailure(.notACgroup, .invalidArgument, String(cString: path))
        }
        return CgroupDirectory(directory: directory)
    }

    /// Writes the limits, in order. The failure names the file and the value.
    func write(_ limits: UnsafeMutablePointer<UnsafeMutablePointer<Exec2__Executor__CgroupWrite>?>?, count: Int)
        throws(LaunchFailure)
    {
        for index in 0..<count {
            guard let limit = limits?[index]?.pointee, let file = limit.file, let value = limit.value else { continue }
            let result = write(value, to: file)
            if result == .noSuchFile && limit.optional != 0 { continue }
            if let result {
                throw LaunchFailure(.limit, result, String(cString: value) + " to " + String(cString: file))
            }
        }
    }

    private func write(_ value: UnsafePointer<CChar>, to file: UnsafePointer<CChar>) -> Errno? {
        let number = exec2_openat(directory, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0)
        guard number >= 0 else { return .last }
        defer { _ = close(number) }
        let count = retrying { CLinux.write(number, value, strlen(value)) }
        return count < 0 ? .last : nil
    }

    /// Lets what is in the cgroup run (cgroup.freeze, Linux 5.2). The client uses a task's cgroup again when it
    /// restarts the task: left frozen by whoever froze the last one, the new main process would never come to
    /// execve, and the start would hang in vfork.
    func thaw() {
        _ = write("0", to: "cgroup.freeze")
    }

    /// Kills every process in the cgroup and below (cgroup.kill, Linux 5.14).
    func kill() {
        _ = write("1", to: "cgroup.kill")
    }

    /// How many processes the kernel's OOM killer has ended here, or nil where no one counts.
    func oomKills() -> UInt64? { value(of: "oom_kill", in: "memory.events") }

    /// The limit of memory in bytes; nil for none.
    func memoryLimit() -> UInt64? { read("memory.max") { singleNumber(in: $0) } }

    /// The most memory that was used, in bytes; nil before Linux 5.19.
    func memoryPeak() -> UInt64? { read("memory.peak") { singleNumber(in: $0) } }

    /// Whether any process is left in the cgroup or below.
    func isPopulated() -> Bool { value(of: "populated", in: "cgroup.events") == 1 }

    /// Whether one process is in the cgroup, and is this one; false where that cannot be read. Those in cgroups below are
    /// not looked for.
    func holdsOnly(_ pid: Int32) -> Bool {
        let only = read("cgroup.procs") { content in
            var index = 0
            let first = decimalNumber(in: content, at: &index)
            let isOneLine = index + 1 == content.count
            return isOneLine ? first : nil
        }
        return only == UInt64(pid)
    }

    /// A descriptor that polls with POLLPRI whenever `populated` changes, or -1.
    func openEvents() -> Int32 { exec2_openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC, 0) }

    private func value(of key: StaticString, in file: UnsafePointer<CChar>) -> UInt64? {
        read(file) { flatKeyedValue(key, in: $0) }
    }

    private func read(_ file: UnsafePointer<CChar>, _ value: (UnsafeRawBufferPointer) -> UInt64?) -> UInt64? {
        let number = exec2_openat(directory, file, O_RDONLY | O_CLOEXEC, 0)
        guard number >= 0 else { return nil }
        defer { _ = close(number) }
        return withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer -> UInt64? in
            let count = retrying { CLinux.read(number, buffer.baseAddress, buffer.count) }
            guard count > 0 else { return nil }
            return value(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
