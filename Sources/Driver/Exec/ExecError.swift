import Glibc
import Shared

/// Why a command was not run in a task, or not to its end: the sentence that its caller reads.
struct ExecError: Error, Sendable, Equatable {
    let code: RPCCode
    let text: String

    init(_ code: RPCCode, _ text: String) {
        self.code = code
        self.text = text
    }

    var status: RPCStatus { RPCStatus(code: code, message: text) }
}

extension ExecError {
    init(task id: String, _ reason: String, code: RPCCode = .internalError) {
        self.init(code, "cannot exec in task \(quoted(id)): \(reason)")
    }

    init(_ error: TaskError) {
        self.init(error.status.code, error.text)
    }

    /// A system call of the Driver's own failed.
    init(task id: String, _ error: SystemError) {
        self.init(
            task: id, error.text, code: StartError.mayPass(error.errno) ? .resourceExhausted : .internalError)
    }

    static func emptyCommand(_ id: String) -> ExecError {
        ExecError(task: id, "the command is empty", code: .invalidArgument)
    }

    /// Its Executor is of a release that keeps nothing to run a command with.
    static func olderExecutor(_ id: String, executor: Int32) -> ExecError {
        ExecError(
            task: id,
            "its Executor (pid \(executor)) is of an older release, which cannot do that; restart the task, and it gets a new "
                + "one", code: .failedPrecondition)
    }

    static func attendantLost(_ id: String, attendant: Int32, _ leave: ExecutorLeave) -> ExecError {
        ExecError(
            .unavailable,
            "the exec in task \(quoted(id)) has no result: its attendant (pid \(attendant)) \(leave.lossOfCommand)")
    }

    /// The attendant has reported, or not, and nobody can know what.
    static func noReport(_ id: String, _ error: SystemError) -> ExecError {
        ExecError(.unavailable, "the exec in task \(quoted(id)) has no result: \(error.text)")
    }

    static func timeIsUp(_ id: String, command: String, seconds: Double) -> ExecError {
        ExecError(
            .deadlineExceeded,
            "the command \(quoted(command)) in task \(quoted(id)) had not ended after \(seconds) s and was killed")
    }

    /// What an attendant reported, in the words of a launch.
    init(
        task id: String, stage: UInt32, _ errno: Errno, subject: String, _ specification: LaunchSpecification
    ) {
        let stages: [LaunchStage] = [.joinNamespaces, .enterProcesses]
        if errno == .noSuchProcess, let stage = LaunchStage(rawValue: stage), stages.contains(stage) {
            self.init(TaskError.notRunning(id: id))
            return
        }
        let failure = StartError(stage: stage, errno, subject: subject, specification: specification)
        self.init(task: id, failure.text, code: failure.kind == .transient ? .resourceExhausted : .failedPrecondition)
    }
}
