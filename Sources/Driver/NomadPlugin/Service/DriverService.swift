import CMessages
import EventLoop
import GRPCServer
import Glibc
import HCLog
import Messages
import Planning
import Shared
import Supervision

/// hashicorp.nomad.plugins.drivers.proto.Driver. What is not registered answers UNIMPLEMENTED, and is
/// not among the capabilities.
struct DriverService: Sendable {
    static let prefix = "/hashicorp.nomad.plugins.drivers.proto.Driver/"
    /// Of the task handle's format (TaskHandle.version).
    static let handleVersion: Int32 = 1
    /// The exec family's.
    static let defaultStopSignal = SIGINT

    let settings: DriverSettings
    let table: TaskTable
    let stats: StatsService
    let log: Logger
    let notes: ExecNotes

    init(settings: DriverSettings, table: TaskTable, stats: StatsService, log: Logger) {
        self.settings = settings
        self.table = table
        self.stats = stats
        self.log = log
        notes = ExecNotes(log: log)
    }

    func register(on server: RPCServer) {
        registerFacts(on: server)
        registerExec(on: server)
        server.register(
            Self.prefix + "StartTask", runsOn: BlockingPool.starts,
            .undoable(Wire.StartTaskRequest.self) {
                (request) throws(RPCStatus) in try await start(request)
            })
        server.register(
            Self.prefix + "RecoverTask", runsOn: BlockingPool.recoveries,
            .unary(Wire.RecoverTaskRequest.self) {
                (request) throws(RPCStatus) in try await recover(request)
            })
        server.register(
            Self.prefix + "WaitTask",
            .unary(Wire.WaitTaskRequest.self) {
                (request) throws(RPCStatus) in try await wait(request.task_id)
            })
        server.register(
            Self.prefix + "StopTask",
            .unary(Wire.StopTaskRequest.self) {
                (request) throws(RPCStatus) in
                try await stop(request.task_id, signal: request.signal, timeout: request.timeout)
                return Wire.StopTaskResponse.encoded()
            })
        server.register(
            Self.prefix + "SignalTask",
            .unary(Wire.SignalTaskRequest.self) {
                (request) throws(RPCStatus) in
                try await signal(request.task_id, request.signal)
                return Wire.SignalTaskResponse.encoded()
            })
        server.register(
            Self.prefix + "DestroyTask", runsOn: BlockingPool.shared,
            .unary(Wire.DestroyTaskRequest.self) {
                (request) throws(RPCStatus) in
                do throws(TaskError) {
                    try await table.destroy(
                        request.task_id, force: request.isSet(\.force),
                        stateDirectory: settings.current.configuration.stateDirectory)
                } catch {
                    throw error.status
                }
                return Wire.DestroyTaskResponse.encoded()
            })
        server.register(
            Self.prefix + "TaskStats", on: stats.reactor,
            .serverStreaming(Wire.TaskStatsRequest.self) {
                (request, responses) throws(RPCStatus) in
                await stats.stream(
                    try task(request.task_id, to: .sample), interval: request.collection_interval?.nanoseconds ?? 0,
                    to: responses)
            })
        server.register(
            Self.prefix + "TaskEvents",
            .serverStreaming(Wire.TaskEventsRequest.self) {
                (_, responses) throws(RPCStatus) in try await sendEvents(to: responses)
            })
        server.register(
            Self.prefix + "InspectTask",
            .unary(Wire.InspectTaskRequest.self) {
                (request) throws(RPCStatus) in inspection(of: try task(request.task_id, to: .inspect))
            })
    }

    private func registerFacts(on server: RPCServer) {
        server.register(Self.prefix + "Init", .unary(Wire.InitRequest.self) { _ in Wire.InitResponse.encoded() })
        // The agent is about to end the plugin; tasks outlive it, and nothing waits to be put away.
        server.register(
            Self.prefix + "Shutdown",
            .unary(Wire.ShutdownRequest.self) { _ in
                Wire.ShutdownResponse.encoded()
            })
        server.register(
            Self.prefix + "TaskConfigSchema",
            .unary(Wire.TaskConfigSchemaRequest.self) { _ in
                Wire.TaskConfigSchemaResponse.encoded { $0.spec = $1.schema(TaskOptions.schema) }
            })
        server.register(
            Self.prefix + "Capabilities",
            .unary(Wire.CapabilitiesRequest.self) { _ in
                Self.capabilities()
            })
        let fingerprint = FingerprintService(settings: settings, table: table)
        server.register(
            Self.prefix + "Fingerprint",
            .serverStreaming(Wire.FingerprintRequest.self) {
                (_, responses) throws(RPCStatus) in try await fingerprint.stream(to: responses)
            })
    }

    private static func capabilities() -> [UInt8] {
        Wire.CapabilitiesResponse.encoded { response, arena in
            response.capabilities = arena.message(Wire.DriverCapabilities.self) { capabilities in
                capabilities.send_signals = true.wire
                capabilities.exec = true.wire
                capabilities.fs_isolation =
                    HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__DRIVER_CAPABILITIES__FSISOLATION__UNVEIL
                capabilities[.networkIsolationModes] = arena.values([
                    HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__HOST,
                    HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__GROUP,
                ])
                capabilities.mount_configs =
                    HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__DRIVER_CAPABILITIES__MOUNT_CONFIGS__ANY_MOUNTS
                capabilities.dynamic_workload_users = true.wire
            }
        }
    }

    private func sendEvents(to responses: RPCResponseStream) async throws(RPCStatus) {
        try await table.events.stream { (event, dropped) throws(RPCStatus) in
            if dropped > 0 { log.warn("dropped task events that no agent has taken", ["count": dropped]) }
            try await responses.send(
                Wire.DriverTaskEvent.encoded { message, arena in
                    message.task_id = arena.string(event.taskID)
                    message.alloc_id = arena.string(event.allocID)
                    message.task_name = arena.string(event.taskName)
                    message.timestamp = arena.timestamp(event.time)
                    message.message = arena.string(event.message)
                    if dropped > 0 {
                        message[.annotations] = arena.stringMap(
                            Wire.DriverTaskEventAnnotationsEntry.self, ["events_dropped_before": String(dropped)])
                    }
                })
        }
    }

    func task(_ id: String, to action: TaskAction) throws(RPCStatus) -> SupervisedTask {
        do throws(TaskError) {
            return try table.task(id, to: action)
        } catch {
            throw error.status
        }
    }
}
