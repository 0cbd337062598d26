import EventLoop
import Shared

/// What a cgroup has used, as its files say (the kernel's cgroup-v2 documentation). A value that the
/// kernel or the host's controllers do not count is nil.
package struct CgroupUsage: Equatable, Sendable {
    /// Microseconds of processor time since the cgroup was made.
    package var cpuTotal: UInt64?
    var cpuUser: UInt64?
    var cpuSystem: UInt64?
    package var throttledPeriods: UInt64?
    /// Microseconds.
    package var throttledTime: UInt64?

    /// Bytes.
    package var memory: UInt64?
    package var memoryPeak: UInt64?
    package var anonymous: UInt64?
    package var file: UInt64?
    package var kernel: UInt64?
    package var swap: UInt64?

    mutating func readCPU(_ content: UnsafeRawBufferPointer) {
        cpuTotal = flatKeyedValue("usage_usec", in: content)
        cpuUser = flatKeyedValue("user_usec", in: content)
        cpuSystem = flatKeyedValue("system_usec", in: content)
        throttledPeriods = flatKeyedValue("nr_throttled", in: content)
        throttledTime = flatKeyedValue("throttled_usec", in: content)
    }

    mutating func readMemory(_ content: UnsafeRawBufferPointer) {
        anonymous = flatKeyedValue("anon", in: content)
        file = flatKeyedValue("file", in: content)
        kernel = flatKeyedValue("kernel", in: content)
    }

    /// memory.max, nil where there is no limit, and memory.peak (Linux 5.19), both in bytes.
    package static func memoryLimitAndPeak(of path: String) -> (limit: UInt64?, peak: UInt64?) {
        func value(_ file: String) -> UInt64? {
            (try? HostFile.read(path + "/" + file))?.withUnsafeBytes { singleNumber(in: $0) }
        }
        return (value("memory.max"), value("memory.peak"))
    }
}

/// The files of a cgroup that statistics come from.
package struct CgroupFiles: ~Copyable, Sendable {
    private let cpu: SampledFile
    private let memoryDetails: SampledFile
    private let memory: SampledFile
    private let memoryPeak: SampledFile
    private let swap: SampledFile
    private let processes: SampledFile

    package init(_ path: String) {
        cpu = SampledFile(path + "/cpu.stat")
        memoryDetails = SampledFile(path + "/memory.stat")
        memory = SampledFile(path + "/memory.current")
        memoryPeak = SampledFile(path + "/memory.peak")
        swap = SampledFile(path + "/memory.swap.current")
        processes = SampledFile(path + "/cgroup.procs")
    }

    /// - Parameter buffer: Room for the longest of the files, memory.stat, which has some 2 KiB.
    package func usage(_ buffer: UnsafeMutableRawBufferPointer) -> CgroupUsage {
        var usage = CgroupUsage()
        usage.readCPU(cpu.read(into: buffer))
        usage.readMemory(memoryDetails.read(into: buffer))
        usage.memory = singleNumber(in: memory.read(into: buffer))
        usage.memoryPeak = singleNumber(in: memoryPeak.read(into: buffer))
        usage.swap = singleNumber(in: swap.read(into: buffer))
        return usage
    }

    /// Calls `visit` for each process, for no more than `buffer` takes.
    package func forEachProcess(_ buffer: UnsafeMutableRawBufferPointer, _ visit: (Int32) -> Void) {
        let content = processes.read(into: buffer)
        var index = 0
        while let pid = decimalNumber(in: content, at: &index), index < content.count {
            visit(Int32(clamping: pid))
            index += 1
        }
    }
}

/// Processor use between two readings of a counter.
package struct ProcessorShare: Equatable, Sendable {
    /// Percent of one core: 200 is two cores busy.
    package var total = 0.0
    package var user = 0.0
    package var system = 0.0

    /// - Parameter nanoseconds: Between the two readings.
    init(from earlier: CgroupUsage, to later: CgroupUsage, nanoseconds: UInt64) {
        total = Self.percent(earlier.cpuTotal, later.cpuTotal, nanoseconds)
        user = Self.percent(earlier.cpuUser, later.cpuUser, nanoseconds)
        system = Self.percent(earlier.cpuSystem, later.cpuSystem, nanoseconds)
    }

    /// - Parameter earlier: Nil for a process that is new: all its time is of this interval.
    init(from earlier: ProcessUsage?, to later: ProcessUsage, nanoseconds: UInt64) {
        user = Self.percent(earlier?.userTime ?? 0, later.userTime, nanoseconds)
        system = Self.percent(earlier?.systemTime ?? 0, later.systemTime, nanoseconds)
        total = user + system
    }

    private static func percent(_ earlier: UInt64?, _ later: UInt64?, _ nanoseconds: UInt64) -> Double {
        // A counter never goes back; a cgroup made anew under the same name does.
        guard let earlier, let later, later > earlier, nanoseconds > 0 else { return 0 }
        return Double(later - earlier) * 1000 / Double(nanoseconds) * 100
    }
}
