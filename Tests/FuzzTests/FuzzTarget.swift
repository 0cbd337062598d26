import Shared

@testable import Supervision

/// What bytes from outside are fed to: each is a target of libFuzzer's, and replays its corpus in the unit
/// tests. A target ends by returning, whatever the bytes are; what must hold of the outcome is checked.
enum FuzzTarget: String, CaseIterable, Sendable {
    // Nomad's.
    case messagePack = "messagepack"
    case configuration
    case requests
    case startTask = "start-task"
    // The pair's own.
    case executorRequests = "executor-requests"
    case executorEvents = "executor-events"
    case execReport = "exec-report"
    case launchRequest = "launch-request"
    case exitRecord = "exit-record"
    case handleState = "handle-state"
    // The kernel's and the host's.
    case kernelFiles = "kernel-files"
    case auditRecord = "audit-record"
    case resolver
    // Text that people and jobs write.
    case unveilRule = "unveil-rule"
    case names
    case commandLine = "command-line"
    case logLine = "log-line"

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .messagePack: Self.messagePack(Array(bytes))
        case .configuration: Self.configuration(Array(bytes))
        case .requests: Self.requests(bytes)
        case .startTask: Self.startTask(Array(bytes))
        case .executorRequests: Self.executorRequests(bytes)
        case .executorEvents: Self.executorEvents(bytes)
        case .execReport: Self.execReport(bytes)
        case .launchRequest: Self.launchRequest(bytes)
        case .exitRecord: Self.exitRecord(bytes)
        case .handleState: _ = HandleState(driverState: Array(bytes))
        case .kernelFiles: Self.kernelFiles(bytes)
        case .auditRecord: Self.auditRecord(Array(bytes))
        case .resolver: Self.resolver(bytes)
        case .unveilRule: Self.unveilRule(Self.text(bytes))
        case .names: Self.names(Self.text(bytes))
        case .commandLine: Self.commandLine(bytes)
        case .logLine: Self.logLine(Self.text(bytes))
        }
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }
}
