import Exec
import GRPCServer
import Messages
import Planning
import Supervision

// What the errors of the layers below become for the client: here and nowhere else. Each switch is exhaustive, so that
// a new kind of error asks for its status.

extension StartError {
    /// What StartTask answers.
    var status: RPCStatus {
        switch kind {
        case .invalidRequest: RPCStatus(code: .invalidArgument, message: text)
        case .alreadyExists: RPCStatus(code: .alreadyExists, message: text)
        case .permanent: .startFailure(text, recoverable: false)
        case .transient: .startFailure(text, recoverable: true)
        }
    }
}

extension TaskError {
    /// What a call about a task answers.
    var status: RPCStatus {
        let code: RPCCode =
            switch self {
            case .unknown, .gone: .notFound
            case .starting, .notRunning, .stillRunning: .failedPrecondition
            case .cannotAttach: .unavailable
            case .unrecoverable: .failedPrecondition
            case .signalRefused, .notRemoved: .internalError
            case .executor, .cannotBeKilled: .unavailable
            }
        return RPCStatus(code: code, message: text)
    }
}

extension ExecError {
    /// What ExecTask and ExecTaskStreaming answer.
    var status: RPCStatus {
        let code: RPCCode =
            switch kind {
            case .invalidRequest: .invalidArgument
            case .notFound: .notFound
            case .impossible: .failedPrecondition
            case .shortage: .resourceExhausted
            case .timeIsUp: .deadlineExceeded
            case .resultLost: .unavailable
            case .failed: .internalError
            }
        return RPCStatus(code: code, message: text)
    }
}

extension SessionError where Failure == RPCStatus {
    /// What ExecTask and ExecTaskStreaming answer where a session came to no exit status.
    /// - Parameter timeout: What the session was given, in nanoseconds.
    func status(ofCommand command: String, in task: String, timeout: UInt64) -> RPCStatus {
        switch self {
        case .failed(let error): error.status
        case .timeIsUp: ExecError.timeIsUp(task, command: command, seconds: Double(timeout) / 1e9).status
        case .cancelled: .clientGone
        case .caller(let status): status
        }
    }
}

extension MessageError {
    /// What a request answers that cannot be read.
    var status: RPCStatus { RPCStatus(code: .invalidArgument, message: "cannot read the request: \(description)") }
}

extension ConfigurationError {
    /// What SetConfig answers.
    var status: RPCStatus { RPCStatus(code: .invalidArgument, message: description) }
}
