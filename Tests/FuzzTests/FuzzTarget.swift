import CMessages

@testable import Driver
@testable import Shared

/// What bytes from outside are fed to: each is a target of libFuzzer's, and replays its corpus in the unit
/// tests. A target ends by returning, whatever the bytes are; what must hold of the outcome is checked.
enum FuzzTarget: String, CaseIterable, Sendable {
    case messagePack = "messagepack"
    case requests
    case executorRequests = "executor-requests"
    case executorEvents = "executor-events"
    case exitRecord = "exit-record"
    case handleState = "handle-state"
    case unveilRule = "unveil-rule"
    case kernelFiles = "kernel-files"
    case configuration

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .messagePack: Self.messagePack(Array(bytes))
        case .requests: Self.requests(bytes)
        case .executorRequests: Self.executorRequests(bytes)
        case .executorEvents: Self.executorEvents(bytes)
        case .exitRecord: Self.exitRecord(bytes)
        case .handleState: _ = HandleState(driverState: Array(bytes))
        case .unveilRule: Self.unveilRule(String(decoding: bytes, as: UTF8.self))
        case .kernelFiles: Self.kernelFiles(bytes)
        case .configuration: Self.configuration(Array(bytes))
        }
    }

    private static func messagePack(_ bytes: [UInt8]) {
        guard let value = try? MessagePackDecoder.decode(bytes) else { return }
        _ = "\(value)"
    }

    private static func configuration(_ bytes: [UInt8]) {
        _ = try? PluginConfiguration(messagePack: bytes)
        _ = try? TaskOptions(messagePack: bytes, plugin: PluginConfiguration(), taskFolder: "/task")
    }

    // MARK: Messages

    /// The first byte chooses the request, the rest are its bytes.
    private static func requests(_ bytes: UnsafeRawBufferPointer) {
        guard let choice = bytes.first else { return }
        let decoders: [@Sendable ([UInt8]) -> Void] = [
            startTask, decode(Wire.RecoverTaskRequest.self), decode(Wire.WaitTaskRequest.self),
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

    private static func startTask(_ bytes: [UInt8]) {
        guard let message = try? DecodedMessage<Wire.StartTaskRequest>(bytes), let task = message.root.task else {
            return
        }
        _ = TaskRequest(task)
    }

    // MARK: The pair's own

    /// What an Executor reads from its control pipe.
    private static func executorRequests(_ bytes: UnsafeRawBufferPointer) {
        var scanner = FrameScanner()
        while let payload = scanner.next(in: bytes) {
            precondition(payload.count <= Frame.greatestPayload)
            _ = ExecutorRequest.decode(payload, allocator: nil)
        }
        // Without a frame's checksum, which no mutation finds.
        _ = ExecutorRequest.decode(bytes, allocator: nil)
    }

    /// What the Driver reads from an events pipe.
    private static func executorEvents(_ bytes: UnsafeRawBufferPointer) {
        var scanner = FrameScanner()
        while let payload = scanner.next(in: bytes) { _ = ExecutorEvent.decode(payload) }
        precondition(scanner.garbage <= bytes.count)
        _ = ExecutorEvent.decode(bytes)
    }

    private static func exitRecord(_ bytes: UnsafeRawBufferPointer) {
        _ = try? ExitRecord.decode(bytes)
        // The same bytes as a message with a header that is right.
        var sealed = Array("EXEC2END".utf8)
        func append(_ number: UInt32) { withUnsafeBytes(of: number.littleEndian) { sealed += $0 } }
        append(1)
        append(UInt32(bytes.count))
        append(CRC32.checksum(bytes))
        sealed += bytes
        guard let record = sealed.withUnsafeBytes({ try? ExitRecord.decode($0) }) else { return }
        // What is read is what would be written.
        let again = UnsafeMutableRawBufferPointer.allocate(byteCount: ExitRecord.reservedSize, alignment: 16)
        defer { again.deallocate() }
        let written = record.encode(into: again)
        precondition(written.isEmpty || (try? ExitRecord.decode(written)) != nil)
    }

    private static func unveilRule(_ text: String) {
        for folder in [nil, "/work"] {
            guard let rule = try? UnveilRule(parsing: text, relativeTo: folder) else { continue }
            precondition(rule.path.utf8.first == UInt8(ascii: "/"))
            precondition(!rule.path.utf8.contains(0))
            precondition((try? UnveilRule(parsing: rule.text)) == rule)
        }
    }

    // MARK: The kernel's

    private static func kernelFiles(_ bytes: UnsafeRawBufferPointer) {
        _ = flatKeyedValue("oom_kill", in: bytes)
        _ = flatKeyedValue("populated", in: bytes)
        _ = processStartTime(inStat: bytes)
        _ = ProcessUsage(stat: bytes)
        var usage = CgroupUsage()
        usage.readCPU(bytes)
        usage.readMemory(bytes)
        _ = CgroupHierarchy.mountPoint(inMountinfo: Array(bytes))
        _ = CgroupHierarchy.controllers(in: Array(bytes))
        let text = String(decoding: bytes, as: UTF8.self)
        _ = ClientTopology.coreNumbers(text)
        _ = ClientTopology.processorSpeeds(inCpuinfo: text)
        _ = ProcessFacts.isZombie(in: Array(bytes))
    }
}
