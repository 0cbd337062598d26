import Glibc
import Shared

/// How a task ended, as far as can be known.
package enum TaskEnd: Sendable, Equatable {
    /// From the exit record.
    case recorded(ExitRecord)
    /// The truth is lost, and why: never an invented exit code.
    case lost(reason: String, endedAt: Int64)

    /// The task as the record has it: an Executor's identity, by which a task without a handle is found,
    /// was written before it started.
    var task: StartedTask? {
        switch self {
        case .recorded(let record): StartedTask(pid: record.pid, startedAt: record.startedAt)
        case .lost: nil
        }
    }

    package var exitCode: Int32 {
        switch self {
        case .recorded(let record): record.exitCode
        case .lost: 128 + SIGKILL
        }
    }

    package var signal: Int32 {
        switch self {
        case .recorded(let record): record.signal
        case .lost: SIGKILL
        }
    }

    package var oomKilled: Bool {
        switch self {
        case .recorded(let record): record.oomKilled
        case .lost: false
        }
    }

    /// Nanoseconds since the epoch.
    package var endedAt: Int64 {
        switch self {
        case .recorded(let record): record.endedAt
        case .lost(_, let endedAt): endedAt
        }
    }

    /// What went wrong with the supervision, or nil.
    package var error: String? {
        switch self {
        case .recorded(let record):
            record.survivors
                ? "processes of the task had not ended long after SIGKILL (in uninterruptible sleep, or held by a tracer?)"
                : nil
        case .lost(let reason, _): reason
        }
    }
}
