import CMessages
import EventLoop
import GRPCServer
import Host
import Messages
import Planning
import Supervision

/// The Fingerprint stream: the first answer at once, the next whenever it differs, and every 90 s in
/// any case, as the original does.
struct FingerprintService: Sendable {
    private static let checkSeconds: UInt64 = 10
    private static let repeatChecks = 9

    let settings: DriverSettings
    let reactor: Reactor
    private let hostFacts: SharedHostFacts

    init(settings: DriverSettings, table: TaskTable) {
        self.settings = settings
        reactor = table.reactor
        hostFacts = SharedHostFacts(reactor: reactor) { table.clientMounts.directories }
    }

    func stream(to responses: RPCResponseStream) async throws(RPCStatus) {
        var last: FingerprintReport?
        var unchanged = 0
        while !Task.isCancelled {
            let settings = settings.current
            guard let facts = await hostFacts.facts(for: settings.configuration, version: settings.version) else {
                return
            }
            let report = FingerprintReport(facts, configuration: settings.configuration)
            if report != last || unchanged >= Self.repeatChecks {
                try await responses.send(Self.response(report))
                last = report
                unchanged = 0
            }
            unchanged += 1
            _ = await OneShot<Void>().wait(atMost: Self.checkSeconds * 1_000_000_000, on: reactor)
        }
    }

    private static func response(_ report: FingerprintReport) -> [UInt8] {
        Wire.FingerprintResponse.encoded { response, arena in
            response.health = Wire.FingerprintResponseHealthState(UInt32(report.health.rawValue))
            response.health_description = arena.string(report.description)
            response[.attributes] = arena.messages(
                Wire.FingerprintResponseAttributesEntry.self, report.attributes.sorted { $0.key < $1.key }
            ) { entry, pair in
                entry.key = arena.string(pair.key)
                entry.value = arena.message(Wire.Attribute.self) { $0.set(pair.value, arena) }
            }
        }
    }
}

extension Wire.Attribute {
    fileprivate mutating func set(_ value: FingerprintReport.Attribute, _ arena: MessageArena) {
        switch value {
        case .bool(let flag):
            value_case = HASHICORP__NOMAD__PLUGINS__SHARED__STRUCTS__ATTRIBUTE__VALUE_BOOL_VAL
            bool_val = flag.wire
        case .int(let number):
            value_case = HASHICORP__NOMAD__PLUGINS__SHARED__STRUCTS__ATTRIBUTE__VALUE_INT_VAL
            int_val = number
        case .string(let text):
            value_case = HASHICORP__NOMAD__PLUGINS__SHARED__STRUCTS__ATTRIBUTE__VALUE_STRING_VAL
            string_val = arena.string(text)
        }
    }
}
