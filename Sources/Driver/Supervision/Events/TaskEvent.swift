import CLinux
import Planning
import Shared

/// Something about a task that an operator should see in `alloc status`.
package struct TaskEvent: Equatable, Sendable {
    package let taskID: String
    package let taskName: String
    /// Nanoseconds since the epoch.
    package let time: Int64
    package let message: String

    /// The allocation, which a task id begins with: `<alloc id>/<task name>/<8 hex digits>`.
    package var allocID: String { String(taskID.prefix { $0 != "/" }) }
}

extension TaskEvent {
    /// What is worth telling of a task's end; nil for an ordinary one.
    /// - Parameter memory: The limit and the largest use of its cgroup in bytes, as far as known; for a
    ///   record of an Executor that did not note them.
    package static func message(about end: TaskEnd, memory: (limit: UInt64?, peak: UInt64?)) -> String? {
        switch end {
        case .lost(let reason, _): return reason
        case .recorded(let record):
            if let error = record.execError { return execution(error, record.execProgram, record.exitCode) }
            if record.oomKilled {
                return outOfMemory(record.memoryLimit ?? memory.limit, record.memoryPeak ?? memory.peak)
            }
            return end.error
        }
    }

    private static func execution(_ error: Errno, _ program: String, _ exitCode: Int32) -> String {
        let what =
            error == .noSuchFile
            ? "the command was not found, or is not unveiled" : "the command cannot be executed: \(error.text)"
        return "\(what) (\(program)); exit code \(exitCode)"
    }

    private static func outOfMemory(_ limit: UInt64?, _ peak: UInt64?) -> String {
        var text = "the kernel has killed a process of the task for want of memory"
        if let limit { text += "; the limit is \(megabytes(limit)) MB (memory.max)" }
        if let peak { text += ", the most that was used is \(megabytes(peak)) MB" }
        return text
    }

    /// Of a task that the kernel has killed for memory and that has failed by it: what its event of the end says in the
    /// agent's words.
    fileprivate static func outOfMemory(_ record: ExitRecord) -> String {
        outOfMemory(record.memoryLimit, record.memoryPeak)
    }

    /// A limit that was raised to the minimum that the kernel takes.
    package static func message(raised limit: CgroupWrite) -> String? {
        guard let asked = limit.raisedFrom else { return nil }
        return
            "the limit \(limit.file) was raised to the least that the kernel takes: asked for was \(asked), given is "
            + limit.value
    }

    private static func megabytes(_ bytes: UInt64) -> UInt64 { (bytes + (1 << 19)) >> 20 }
}

extension TaskEnd {
    /// The message of a failure that was one of memory; nil where it was none. The host takes any message for that of a
    /// failure, so that a task which has gone on without the process that was killed has none.
    package var failureByMemory: String? {
        guard case .recorded(let record) = self, record.oomKilled, exitCode != 0 || signal != 0 else { return nil }
        return TaskEvent.outOfMemory(record)
    }
}
