import Glibc
import Shared

/// What a cgroup has used, as its files say (the kernel's cgroup-v2 documentation). A value that the
/// kernel or the host's controllers do not count is nil.
struct CgroupUsage: Equatable, Sendable {
    /// Microseconds of processor time since the cgroup was made.
    var cpuTotal: UInt64?
    var cpuUser: UInt64?
    var cpuSystem: UInt64?
    var throttledPeriods: UInt64?
    /// Microseconds.
    var throttledTime: UInt64?

    /// Bytes.
    var memory: UInt64?
    var memoryPeak: UInt64?
    var anonymous: UInt64?
    var file: UInt64?
    var kernel: UInt64?
    var swap: UInt64?

    /// Reads the files of the cgroup at `path`.
    static func read(_ path: String) -> CgroupUsage {
        var usage = CgroupUsage()
        usage.readCPU(content(of: path + "/cpu.stat"))
        usage.readMemory(content(of: path + "/memory.stat"))
        usage.memory = number(in: content(of: path + "/memory.current"))
        usage.memoryPeak = number(in: content(of: path + "/memory.peak"))
        usage.swap = number(in: content(of: path + "/memory.swap.current"))
        return usage
    }

    mutating func readCPU(_ content: [UInt8]) {
        content.withUnsafeBytes { bytes in
            cpuTotal = flatKeyedValue("usage_usec", in: bytes)
            cpuUser = flatKeyedValue("user_usec", in: bytes)
            cpuSystem = flatKeyedValue("system_usec", in: bytes)
            throttledPeriods = flatKeyedValue("nr_throttled", in: bytes)
            throttledTime = flatKeyedValue("throttled_usec", in: bytes)
        }
    }

    mutating func readMemory(_ content: [UInt8]) {
        content.withUnsafeBytes { bytes in
            anonymous = flatKeyedValue("anon", in: bytes)
            file = flatKeyedValue("file", in: bytes)
            kernel = flatKeyedValue("kernel", in: bytes)
        }
    }

    /// The number of a file that holds one; nil for anything else.
    static func number(in content: [UInt8]) -> UInt64? {
        UInt64(String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    /// memory.max, nil where there is no limit, and memory.peak.
    static func memoryLimitAndPeak(of path: String) -> (limit: UInt64?, peak: UInt64?) {
        (number(in: content(of: path + "/memory.max")), number(in: content(of: path + "/memory.peak")))
    }

    private static func content(of path: String) -> [UInt8] { (try? HostFile.read(path)) ?? [] }
}

/// Processor use between two readings of a counter.
struct ProcessorShare: Equatable, Sendable {
    /// Percent of one core: 200 is two cores busy.
    var total = 0.0
    var user = 0.0
    var system = 0.0

    /// - Parameter nanoseconds: Between the two readings.
    init(from earlier: CgroupUsage, to later: CgroupUsage, nanoseconds: UInt64) {
        total = Self.percent(earlier.cpuTotal, later.cpuTotal, nanoseconds)
        user = Self.percent(earlier.cpuUser, later.cpuUser, nanoseconds)
        system = Self.percent(earlier.cpuSystem, later.cpuSystem, nanoseconds)
    }

    /// - Parameter earlier: Nil for a process that is new: all its time is of this interval.
    init(from earlier: ProcessUsage?, to later: ProcessUsage, nanoseconds: UInt64) {
        let tick = UInt64(1_000_000 / max(1, sysconf(Int32(_SC_CLK_TCK))))
        let before = earlier ?? ProcessUsage(userTicks: 0, systemTicks: 0, residentSet: 0)
        user = Self.percent(before.userTicks * tick, later.userTicks * tick, nanoseconds)
        system = Self.percent(before.systemTicks * tick, later.systemTicks * tick, nanoseconds)
        total = user + system
    }

    private static func percent(_ earlier: UInt64?, _ later: UInt64?, _ nanoseconds: UInt64) -> Double {
        // A counter never goes back; a cgroup made anew under the same name does.
        guard let earlier, let later, later > earlier, nanoseconds > 0 else { return 0 }
        return Double(later - earlier) * 1000 / Double(nanoseconds) * 100
    }
}
