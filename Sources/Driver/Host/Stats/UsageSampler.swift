import CLinux
import Glibc
import Shared

/// One stream's view of a task's use of processor and memory: each sample is about the time since the
/// last, never about a time that another stream asked for.
package struct UsageSampler: ~Copyable, Sendable {
    package struct Sample: Equatable, Sendable {
        package struct Process: Equatable, Sendable {
            package var pid: Int32
            package var share: ProcessorShare
            /// Bytes.
            package var residentSet: UInt64
        }

        /// Nanoseconds since the epoch.
        package var takenAt: Int64
        package var usage: CgroupUsage
        package var share: ProcessorShare
        package var processes: [Process]
    }

    /// A process at its last reading.
    private struct Known {
        var usage: ProcessUsage
        /// Of the first few; the rest are opened for each reading.
        var file: ProcessFile?
        /// The number of the sample in which it was read.
        var sample: UInt64
    }

    /// Processes whose files stay open: most tasks have no more.
    private static let heldProcesses = 4
    /// A pid and its newline are 11 bytes at most: room for 4 000 processes and more. Of a task that has
    /// more, these count for themselves, and all of them in the sum.
    private static let bufferSize = 48 << 10

    /// A variable because Swift 6.2 lets no initializer call a mutating method of a value with a constant that cannot be copied.
    private var files: CgroupFiles
    private var usage = CgroupUsage()
    private var usageTime: UInt64 = 0
    private var processes: [Int32: Known] = [:]
    private var processesTime: UInt64 = 0
    private var samples: UInt64 = 0

    /// Takes the readings that the first sample is compared with.
    init(cgroup: String) {
        files = CgroupFiles(cgroup)
        _ = sample()
    }

    mutating func sample() -> Sample {
        withUnsafeTemporaryAllocation(byteCount: Self.bufferSize, alignment: 16) { buffer in
            let takenAt = Int64(bitPattern: exec2_realtime())
            let now = exec2_monotonic()
            let usageNow = files.usage(buffer)
            let share = ProcessorShare(from: usage, to: usageNow, nanoseconds: now - usageTime)
            (usage, usageTime) = (usageNow, now)
            return Sample(takenAt: takenAt, usage: usageNow, share: share, processes: sampleProcesses(buffer))
        }
    }

    private mutating func sampleProcesses(_ buffer: UnsafeMutableRawBufferPointer) -> [Sample.Process] {
        let now = exec2_monotonic()
        let elapsed = now - processesTime
        processesTime = now
        samples += 1
        var found: [Sample.Process] = []
        withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { text in
            files.forEachProcess(buffer) { pid in
                let earlier = processes[pid]
                guard let (usage, file) = read(pid, earlier, mayHold: found.count < Self.heldProcesses, text) else {
                    return
                }
                let isSame = earlier?.usage.startedAt == usage.startedAt
                found.append(
                    Sample.Process(
                        pid: pid,
                        share: ProcessorShare(from: isSame ? earlier?.usage : nil, to: usage, nanoseconds: elapsed),
                        residentSet: usage.residentSet))
                processes[pid] = Known(usage: usage, file: file, sample: samples)
            }
        }
        if processes.count > found.count { processes = processes.filter { $0.value.sample == samples } }
        return found
    }

    private func read(
        _ pid: Int32, _ earlier: Known?, mayHold: Bool, _ text: UnsafeMutableRawBufferPointer
    ) -> (ProcessUsage, ProcessFile?)? {
        if let file = earlier?.file, let usage = file.read(text) { return (usage, file) }
        let file = ProcessFile(pid)
        guard let usage = file.read(text) else { return nil }
        return (usage, mayHold ? file : nil)
    }
}
