import CLinux
import EventLoop
import Glibc
import Host
import Shared

/// One task as it can be seen from outside.
struct ListedTask: Equatable, Sendable {
    enum State: Equatable, Sendable {
        /// Its directory is there, and no Executor has put its name in.
        case starting
        case running
        /// The exit record is there, and the Executor still lives: for a moment, or as long as processes of the task
        /// are left that SIGKILL does not end.
        case ending
        case ended(code: Int32, signal: Int32, oomKilled: Bool)
        case lost(reason: String)
    }

    /// Of the state directory.
    var directory: String
    var id: String
    var name: String
    var allocID: String
    var state: State
    var executorPid: Int32?
    /// Who holds the session: the plugin, or `run`.
    var driverPid: Int32?
    /// The main process.
    var pid: Int32?
    var processes: Int?
    /// Bytes: what the cgroup is charged with; where the host does not count that, the sum of the
    /// processes' resident sets.
    var memory: UInt64?
    /// Microseconds.
    var processorTime: UInt64?
    /// Nanoseconds since the epoch.
    var startedAt: Int64?
    var endedAt: Int64?
    var cgroup = ""

    /// Nanoseconds: how long it has run, or ran.
    func age(at now: Int64) -> Int64? { startedAt.map { max(0, (endedAt ?? now) - $0) } }
}

extension ListedTask {
    /// What /proc and the cgroup tell of a task that runs.
    mutating func look() {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        buffer.withUnsafeMutableBytes { buffer in
            if let executorPid, let main = Self.oldestChild(of: executorPid, buffer) {
                pid = main.pid
                startedAt = Self.time(ofTicks: main.startedAt)
            }
            guard !cgroup.isEmpty else { return }
            let files = CgroupFiles(cgroup)
            let usage = files.usage(buffer)
            processorTime = usage.cpuTotal
            var members: [Int32] = []
            files.forEachProcess(buffer) { members.append($0) }
            processes = members.count
            memory =
                usage.memory
                ?? members.reduce(0) { $0 + (ProcessFile($1).read(buffer)?.residentSet ?? 0) }
        }
    }

    /// The task's main process is the first that its Executor has started; orphans come later.
    private static func oldestChild(
        of executor: Int32, _ buffer: UnsafeMutableRawBufferPointer
    ) -> (pid: Int32, startedAt: UInt64)? {
        guard let list = try? HostFile.read("/proc/\(executor)/task/\(executor)/children") else { return nil }
        return list.split(separator: UInt8(ascii: " ")).compactMap { word -> (pid: Int32, startedAt: UInt64)? in
            guard let pid = Int32(String(decoding: word, as: UTF8.self)) else { return nil }
            return ProcessFile(pid).read(buffer).map { (pid, $0.startedAt) }
        }.min { ($0.startedAt, $0.pid) < ($1.startedAt, $1.pid) }
    }

    /// Since the epoch, of clock ticks since boot, suspended time included (proc_pid_stat(5)).
    private static func time(ofTicks ticks: UInt64) -> Int64 {
        let boot = Int64(bitPattern: exec2_realtime()) - Int64(bitPattern: exec2_boottime())
        return boot + Int64(clamping: ticks) * Int64(ProcessUsage.tick) * 1000
    }
}
