import CLinux
import Glibc
import Shared

/// How an Executor ended that gave no reason.
package enum ExecutorTermination: Equatable, Sendable {
    /// By itself, with one of `ExecutorExit`.
    case exited(Int32)
    case killed(signal: Int32)
    /// The child of an earlier Driver, or held by a tracer: the kernel does not tell this process how it ended.
    case unknown

    /// What the kernel answers who wants to reap a process.
    enum Reaping: Equatable {
        case reaped(ExecutorTermination)
        /// It runs, or it has ended and a tracer holds it.
        case notYet
        case notAChild
    }

    /// Reaps a process, without waiting for it.
    static func reap(_ pidfd: Int32) -> Reaping {
        var status: Int32 = -1
        var signal: Int32 = -1
        return switch exec2_pidfd_reap(pidfd, &status, &signal) {
        case 1: .reaped(signal > 0 ? .killed(signal: signal) : .exited(status))
        case 0: .notYet
        default: .notAChild
        }
    }

    /// Why a task was not started.
    func failureOfStart(executor: Int32, directory: String) -> String {
        let what = "the Executor (pid \(executor)) ended before it had started the task: "
        return switch self {
        case .exited(ExecutorExit.noRequest): what + "it could not read its launch request (out of memory?)"
        case .exited(ExecutorExit.outOfMemory): what + "it had no memory"
        case .exited: what + "it could not open the pipes in \(directory)"
        case .killed(SIGKILL): what + "it was killed"
        case .killed(let signal): what + "it was ended by signal \(signal) (out of memory?)"
        case .unknown: what + "it was killed, or could not open the pipes in \(directory)"
        }
    }

    /// What became of an attendant that has not told how its command ended.
    package var lossOfCommand: String {
        switch self {
        case .exited(ExecutorExit.noRequest): "could not read its request (out of memory?), and the command was not run"
        case .exited(ExecutorExit.outOfMemory): "had no memory; the command was not run, or was killed with it"
        case .exited: "could not report how it ended"
        case .killed(SIGKILL): "was killed, and the command with it"
        case .killed(let signal): "was ended by signal \(signal) (out of memory?), and the command with it"
        case .unknown: "is gone without a report"
        }
    }

    /// Why the exit status of a task that had started is not known.
    func lossOfTask(executor: Int32, directory: String) -> String {
        switch self {
        case .exited(ExecutorExit.outOfMemory):
            "the task's supervisor (Executor, pid \(executor)) had no memory; the kernel has ended the task with it, and "
                + "its exit status is lost"
        case .exited:
            "the task's supervisor (Executor, pid \(executor)) could not write the exit record in \(directory): the task has "
                + "ended, and its exit status is lost"
        case .killed, .unknown:
            "the task's supervisor (Executor, pid \(executor)) was killed; the kernel has ended the task with it, "
                + "and its exit status is lost"
        }
    }
}
