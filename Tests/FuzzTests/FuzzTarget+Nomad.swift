import CMessages
import Shared

@testable import HCLog
@testable import MessagePack
@testable import Messages
@testable import Planning
@testable import Supervision

/// What Nomad sends.
extension FuzzTarget {
    static func messagePack(_ bytes: [UInt8]) {
        guard let value = try? MessagePackDecoder.decode(bytes) else { return }
        _ = "\(value)"
    }

    static func configuration(_ bytes: [UInt8]) {
        _ = try? PluginConfiguration(messagePack: bytes)
        _ = try? TaskOptions(messagePack: bytes, plugin: PluginConfiguration(), taskDirectory: "/task")
    }

    /// The first byte chooses the request, the rest are its bytes.
    static func requests(_ bytes: UnsafeRawBufferPointer) {
        guard let choice = bytes.first else { return }
        let decoders: [@Sendable ([UInt8]) -> Void] = [
            decode(Wire.StartTaskRequest.self), decode(Wire.RecoverTaskRequest.self), decode(Wire.WaitTaskRequest.self),
            decode(Wire.StopTaskRequest.self), decode(Wire.DestroyTaskRequest.self),
            decode(Wire.InspectTaskRequest.self), decode(Wire.SignalTaskRequest.self),
            decode(Wire.CreateNetworkRequest.self), decode(Wire.DestroyNetworkRequest.self),
            decode(Wire.TaskStatsRequest.self), decode(Wire.TaskEventsRequest.self),
            decode(Wire.ExecTaskRequest.self), decode(Wire.ExecTaskStreamingRequest.self),
            decode(Wire.InitRequest.self), decode(Wire.ShutdownRequest.self),
            decode(Wire.TaskConfigSchemaRequest.self), decode(Wire.CapabilitiesRequest.self),
            decode(Wire.FingerprintRequest.self), decode(Wire.PluginInfoRequest.self),
            decode(Wire.ConfigSchemaRequest.self), decode(Wire.SetConfigRequest.self),
            decode(Wire.Plugin.HealthCheckRequest.self),
        ]
        decoders[Int(choice) % decoders.count](Array(bytes.dropFirst()))
    }

    private static func decode<Message: WireMessage>(_: Message.Type) -> @Sendable ([UInt8]) -> Void {
        { bytes in _ = try? DecodedMessage<Message>(bytes) }
    }

    // MARK: StartTask

    /// From the request's bytes to the plan, and that as the Executor gets it.
    static func startTask(_ bytes: [UInt8]) {
        guard let message = try? DecodedMessage<Wire.StartTaskRequest>(bytes), let task = message.root.task else {
            return
        }
        let request = TaskRequest(task)
        var configuration = PluginConfiguration()
        configuration.unveilByTask = true
        configuration.confinement.allowCaps = .all
        configuration.confinement.allowSyscalls = Set(SyscallGroup.allCases)
        var planning = LaunchPlanning(
            configuration: configuration, megahertzPerCore: 2000,
            host: HostAbilities(landlockABI: 7, capabilities: .max))
        planning.hostResolver = ResolverConfiguration(servers: ["10.0.0.53"], searches: ["example.com"])
        for uid: UInt32 in [0, 80000] {
            let user = TaskUser(name: "user", uid: uid, gid: uid, groups: [uid], home: "/home")
            guard let plan = try? planning.specification(for: request, user: user) else { continue }
            check(plan)
        }
    }

    private static func check(_ plan: LaunchSpecification) {
        precondition(!plan.taskName.utf8.contains(UInt8(ascii: "/")) && ![".", ".."].contains(plan.taskName))
        for variable in plan.environment {
            precondition(
                (variable.utf8.firstIndex(of: UInt8(ascii: "=")) ?? variable.utf8.startIndex) > variable.startIndex)
        }
        for name in ["USER=", "HOME=", "TMPDIR="] {
            let count = plan.environment.filter { $0.utf8.starts(with: name.utf8) }.count
            precondition(count == 1, "\(name) is there \(count) times")
        }
        for destination in plan.mounts.compactMap(\.destination) {
            let parts = destination.path.utf8.split(separator: UInt8(ascii: "/")).map(Self.text)
            precondition(!parts.isEmpty && !parts.contains("..") && !parts.contains("."))
            precondition(parts[0] != "proc" && parts[0] != "sys")
            precondition(destination.isMade || destination.root == "/")
            precondition((destination.root + "/" + destination.inside).hasSuffix(destination.path))
        }
        for file in plan.generatedFiles { check(file) }
        let directory = TaskStateDirectory(stateDirectory: "/run/nomad-driver-exec2", name: "task")
        guard
            let packed = try? DecodedMessage<Exec2__Executor__LaunchRequest>(
                plan.encoded(session: 1, directory: directory))
        else { preconditionFailure("the plan is no request") }
        let request = packed.root
        precondition(request.strings(.environment) == plan.environment)
        precondition(request.strings(.arguments) == plan.arguments)
        precondition(request.messages(.unveil).map(\.path) == plan.unveil.map(\.rule.path))
        precondition(request.messages(.mounts).map(\.source) == plan.mounts.map(\.source))
    }

    /// No line but those that the file is to have.
    private static func check(_ file: GeneratedFile) {
        let lines = file.text.utf8.split(separator: UInt8(ascii: "\n")).map(Self.text)
        let beginnings =
            file.path == "/etc/hosts"
            ? ["#", "127.0.0.1 ", "::1 ", "ff02::1 ", "ff02::2 "] : ["#", "nameserver ", "search ", "options "]
        let others = lines.filter { line in !beginnings.contains { line.utf8.starts(with: $0.utf8) } }
        precondition(others.count == (file.path == "/etc/hosts" ? 1 : 0))
    }
}
