import Glibc
import Planning
import Shared
import Supervision

/// Why a command was not run in a task, or not to its end: the sentence that its caller reads.
package struct ExecError: Error, Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The request makes no sense.
        case invalidRequest
        /// There is no such task.
        case notFound
        /// Not with this task, or on this host, as it is.
        case impossible
        /// A shortage that may pass.
        case shortage
        /// The command's time was up.
        case timeIsUp
        /// It is not known whether the command has run, nor how it ended.
        case resultLost
        /// A system call of the Driver's own failed.
        case failed
    }

    package let kind: Kind
    package let text: String

    package init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }
}

/// Why a session came to no exit status.
package enum SessionError<Failure: Error>: Error {
    case failed(ExecError)
    /// The command's time was up. The caller knows which command.
    case timeIsUp
    /// The Swift task that ran the session was cancelled.
    case cancelled
    /// What the caller's own part has thrown.
    case caller(Failure)
}

extension ExecError {
    package init(task id: String, _ reason: String, _ kind: Kind = .failed) {
        self.init(kind, "cannot exec in task \(quoted(id)): \(reason)")
    }

    package static func notRunning(_ id: String) -> ExecError {
        ExecError(.impossible, TaskError.notRunning(id: id).text)
    }

    /// A system call of the Driver's own failed.
    init(task id: String, _ error: SystemError) {
        self.init(task: id, error.text, StartError.mayPass(error.errno) ? .shortage : .failed)
    }

    static func emptyCommand(_ id: String) -> ExecError {
        ExecError(task: id, "the command is empty", .invalidRequest)
    }

    /// Its Executor is of a release that keeps nothing to run a command with.
    static func olderExecutor(_ id: String, executor: Int32) -> ExecError {
        ExecError(
            task: id,
            "its Executor (pid \(executor)) is of an older release, which cannot do that; restart the task, and it gets a new "
                + "one", .impossible)
    }

    static func attendantLost(_ id: String, attendant: Int32, _ leave: ExecutorTermination) -> ExecError {
        ExecError(
            .resultLost,
            "the exec in task \(quoted(id)) has no result: its attendant (pid \(attendant)) \(leave.lossOfCommand)")
    }

    /// The attendant's report cannot be read, if it has written one.
    static func noReport(_ id: String, _ error: SystemError) -> ExecError {
        ExecError(.resultLost, "the exec in task \(quoted(id)) has no result: \(error.text)")
    }

    package static func timeIsUp(_ id: String, command: String, seconds: Double) -> ExecError {
        ExecError(
            .timeIsUp,
            "the command \(quoted(command)) in task \(quoted(id)) had not ended after \(seconds) s and was killed")
    }

    /// What an attendant reported, in the words of a launch.
    init(
        task id: String, stage: UInt32, _ errno: Errno, subject: String, _ context: LaunchFailureContext
    ) {
        let stages: [LaunchStage] = [.joinNamespaces, .enterProcesses]
        if errno == .noSuchProcess, let stage = LaunchStage(rawValue: stage), stages.contains(stage) {
            self = .notRunning(id)
            return
        }
        let failure = StartError(stage: stage, errno, subject: subject, context: context)
        self.init(task: id, failure.text, failure.kind == .transient ? .shortage : .impossible)
    }
}
