import Glibc
import Shared

/// What one process of a task has used, from /proc/<pid>/stat (proc_pid_stat(5)).
package struct ProcessUsage: Equatable, Sendable {
    /// Microseconds since the process began.
    var userTime: UInt64
    var systemTime: UInt64
    /// In clock ticks since boot: with the pid, what tells one process from another.
    package var startedAt: UInt64
    /// Bytes.
    package var residentSet: UInt64

    /// Microseconds of one clock tick.
    package static let tick = UInt64(1_000_000 / max(1, sysconf(Int32(_SC_CLK_TCK))))
    private static let pageSize = UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))

    /// Nil where the text is not that of a process.
    init?(stat: UnsafeRawBufferPointer) {
        // The name in parentheses may hold anything: what counts begins behind the last one.
        guard var index = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        index += 2
        var values: [4 of UInt64] = [0, 0, 0, 0]
        // Behind the name comes field 3.
        var field = 3
        for (position, wanted) in [14, 15, 22, 24].enumerated() {
            while field < wanted {
                while index < stat.count, stat[index] != UInt8(ascii: " ") { index += 1 }
                index += 1
                field += 1
            }
            guard index < stat.count, let value = decimalNumber(in: stat, at: &index) else { return nil }
            values[position] = value
        }
        // A process cannot have been so busy or so large; its text could say so.
        userTime = values[0].multipliedReportingOverflow(by: Self.tick).partialValue
        systemTime = values[1].multipliedReportingOverflow(by: Self.tick).partialValue
        startedAt = values[2]
        residentSet = values[3].multipliedReportingOverflow(by: Self.pageSize).partialValue
    }
}

/// /proc/<pid>/stat of a process that lasts: a descriptor of it stays this process's own, also when
/// another gets its pid.
package final class ProcessFile: Sendable {
    private let file: SampledFile

    package init(_ pid: Int32) { file = SampledFile("/proc/\(pid)/stat") }

    /// Nil where the process is gone.
    package func read(_ buffer: UnsafeMutableRawBufferPointer) -> ProcessUsage? {
        ProcessUsage(stat: file.read(into: buffer))
    }
}
