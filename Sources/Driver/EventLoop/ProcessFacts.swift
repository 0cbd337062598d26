import Shared

/// Facts of a process from /proc.
package enum ProcessFacts {
    /// Whether a process has ended and waits to be reaped.
    package static func isZombie(_ pid: Int32) -> Bool {
        guard let stat = try? stat(of: pid) else { return false }
        return isZombie(in: stat)
    }

    package static func isZombie(in stat: [UInt8]) -> Bool {
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")), end + 2 < stat.count else { return false }
        return stat[end + 2] == UInt8(ascii: "Z") || stat[end + 2] == UInt8(ascii: "X")
    }

    /// /proc/<pid>/stat; nil if the process does not exist.
    package static func stat(of pid: Int32) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) {
            return try HostFile.read("/proc/\(pid)/stat")
        } catch {
            if error.errno == .noSuchFile || error.errno == .noSuchProcess { return nil }
            throw error
        }
    }

    /// When a process started, in clock ticks since boot; nil if no process has that pid.
    package static func startTime(of pid: Int32) -> UInt64? {
        guard let stat = try? stat(of: pid) else { return nil }
        return startTime(in: stat)
    }

    package static func startTime(in stat: [UInt8]) -> UInt64? { stat.withUnsafeBytes { processStartTime(inStat: $0) } }
}
