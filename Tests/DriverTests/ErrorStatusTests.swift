import Shared
import Testing

@testable import Exec
@testable import GRPCServer
@testable import Messages
@testable import NomadPlugin
@testable import Planning
@testable import Supervision

@Suite struct ErrorStatusTests {
    @Test func aStartsKindDecides() {
        #expect(StartError(.invalidRequest, "x").status.code == .invalidArgument)
        #expect(StartError(.alreadyExists, "x").status.code == .alreadyExists)
        #expect(StartError(.permanent, "x").status == .startFailure("x", recoverable: false))
        #expect(StartError(.transient, "x").status == .startFailure("x", recoverable: true))
    }

    @Test(arguments: [
        (ExecError.Kind.invalidRequest, RPCCode.invalidArgument), (.notFound, .notFound),
        (.impossible, .failedPrecondition), (.shortage, .resourceExhausted), (.timeIsUp, .deadlineExceeded),
        (.resultLost, .unavailable), (.failed, .internalError),
    ])
    func aCommandsKindDecides(kind: ExecError.Kind, code: RPCCode) {
        #expect(ExecError(kind, "x").status == RPCStatus(code: code, message: "x"))
    }

    /// The task has ended, whichever call finds that out.
    @Test func anEndedTaskHasOneStatus() {
        #expect(ExecError.notRunning("a").status == TaskError.notRunning(id: "a").status)
        #expect(TaskError.notRunning(id: "a").status.code == .failedPrecondition)
    }

    @Test func aSessionPassesOnWhatItsCallerThrew() {
        let own = RPCStatus(code: .unavailable, message: "the client reads no more", details: [1])
        func status(_ error: SessionError<RPCStatus>) -> RPCStatus {
            error.status(ofCommand: "ls", in: "a", timeout: 1_500_000_000)
        }
        #expect(status(.caller(own)) == own)
        #expect(status(.cancelled) == .clientGone)
        #expect(status(.failed(.emptyCommand("a"))) == ExecError.emptyCommand("a").status)
        #expect(
            status(.timeIsUp)
                == RPCStatus(
                    code: .deadlineExceeded,
                    message: "the command \"ls\" in task \"a\" had not ended after 1.5 s and was killed"))
    }

    @Test func aRequestThatCannotBeReadIsInvalid() {
        let error = MessageError(path: ["A", "b"], reason: "contains a NUL byte")
        #expect(
            error.status
                == RPCStatus(code: .invalidArgument, message: "cannot read the request: A.b contains a NUL byte"))
    }
}
