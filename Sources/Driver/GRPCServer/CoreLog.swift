import CGRPC
import HCLog

/// Sends what gRPC's C core has to say into the driver's own log: its default, plain text on stderr,
/// blocks on a full pipe.
package enum CoreLog {
    private static let log = Logger(name: "exec2.grpc")

    package static func redirect() {
        gpr_set_log_function { entry in
            guard let entry = entry?.pointee, let text = entry.message else { return }
            let message = String(cString: text)
            let file = entry.file.map { String(cString: $0) } ?? ""
            let level: LogLevel =
                switch entry.severity {
                case GPR_LOG_SEVERITY_DEBUG: .trace
                case GPR_LOG_SEVERITY_INFO: .debug
                default: .warn
                }
            CoreLog.log.log(level, message, ["file": file, "line": entry.line])
        }
    }
}
