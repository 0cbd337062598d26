import CMessages
import GRPCServer
import Messages

extension RPCStatus {
    private static let recoverableErrorType =
        "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError"

    /// A failure of a task's start that tells the agent whether trying again may help.
    static func startFailure(_ message: String, recoverable: Bool) -> RPCStatus {
        let message = clipped(message)
        let details = Wire.Google.Status.encoded { status, arena in
            status.code = RPCCode.failedPrecondition.rawValue
            status.message = arena.string(message)
            let detail = arena.message(Wire.Google.AnyMessage.self) { any in
                any.type_url = arena.string(recoverableErrorType)
                any.value = arena.bytes(
                    Wire.RecoverableError.encoded { error, _ in error.recoverable = recoverable.wire })
            }
            status[.details] = arena.values([detail])
        }
        return RPCStatus(code: .failedPrecondition, message: message, details: details)
    }
}
