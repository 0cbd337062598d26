import Glibc
import Shared

/// What one process of a task has used, from /proc/<pid>/stat (proc_pid_stat(5)).
struct ProcessUsage: Equatable, Sendable {
    /// Clock ticks since the process began.
    var userTicks: UInt64
    var systemTicks: UInt64
    /// Bytes.
    var residentSet: UInt64

    init(userTicks: UInt64, systemTicks: UInt64, residentSet: UInt64) {
        self.userTicks = userTicks
        self.systemTicks = systemTicks
        self.residentSet = residentSet
    }

    /// Nil where the process is gone.
    static func read(_ pid: Int32) -> ProcessUsage? {
        guard let stat = try? HostFile.read("/proc/\(pid)/stat") else { return nil }
        return ProcessUsage(stat: stat, pageSize: UInt64(sysconf(Int32(_SC_PAGESIZE))))
    }

    init?(stat: [UInt8], pageSize: UInt64) {
        // The name in parentheses may hold anything: what counts begins behind the last one.
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = stat[(end + 1)...].split(separator: UInt8(ascii: " "))
        // Behind the name come field 3 and those after it: 14 utime, 15 stime, 24 rss in pages.
        guard fields.count > 21, let user = Self.number(fields[11]), let system = Self.number(fields[12]),
            let pages = Self.number(fields[21])
        else { return nil }
        userTicks = user
        systemTicks = system
        residentSet = pages * pageSize
    }

    private static func number(_ field: ArraySlice<UInt8>) -> UInt64? {
        UInt64(String(decoding: field, as: UTF8.self))
    }

    /// The processes of a cgroup.
    static func processes(inCgroup path: String) -> [Int32] {
        let list = (try? HostFile.read(path + "/cgroup.procs")) ?? []
        return list.split(separator: UInt8(ascii: "\n")).compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }
}
