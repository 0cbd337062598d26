import CLinux
import Glibc
import Shared

/// One stream's view of a task's use of processor and memory: each sample is about the time since the
/// last, never about a time that another stream asked for.
struct UsageSampler: Sendable {
    struct Sample: Equatable, Sendable {
        struct Process: Equatable, Sendable {
            var share: ProcessorShare
            /// Bytes.
            var residentSet: UInt64
        }

        /// Nanoseconds since the epoch.
        var takenAt: Int64
        var usage: CgroupUsage
        var share: ProcessorShare
        var processes: [Int32: Process]
    }

    private let cgroup: String
    private var time: UInt64
    private var usage: CgroupUsage
    private var processes: [Int32: ProcessUsage]

    /// Takes the readings that the first sample is compared with.
    init(cgroup: String) {
        self.cgroup = cgroup
        time = exec2_monotonic()
        usage = CgroupUsage.read(cgroup)
        processes = Self.readProcesses(cgroup)
    }

    mutating func sample() -> Sample {
        let now = exec2_monotonic()
        let elapsed = now - time
        let usageNow = CgroupUsage.read(cgroup)
        let processesNow = Self.readProcesses(cgroup)
        let sample = Sample(
            takenAt: Int64(bitPattern: exec2_realtime()), usage: usageNow,
            share: ProcessorShare(from: usage, to: usageNow, nanoseconds: elapsed),
            processes: Dictionary(
                uniqueKeysWithValues: processesNow.map { pid, later in
                    let share = ProcessorShare(from: processes[pid], to: later, nanoseconds: elapsed)
                    return (pid, Sample.Process(share: share, residentSet: later.residentSet))
                }))
        (time, usage, processes) = (now, usageNow, processesNow)
        return sample
    }

    private static func readProcesses(_ cgroup: String) -> [Int32: ProcessUsage] {
        var result: [Int32: ProcessUsage] = [:]
        for pid in ProcessUsage.processes(inCgroup: cgroup) { result[pid] = ProcessUsage.read(pid) }
        return result
    }
}
