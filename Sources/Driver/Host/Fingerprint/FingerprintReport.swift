import Planning
import Shared

/// How fit the driver is on this host, with the values of the wire.
package enum DriverHealth: Int, Comparable, Sendable {
    /// Not usable on this host.
    case undetected = 0
    /// Usable in principle, broken now.
    case unhealthy = 1
    case healthy = 2

    package static func < (left: DriverHealth, right: DriverHealth) -> Bool { left.rawValue < right.rawValue }
}

/// What Fingerprint answers; another answer is due whenever it is no longer equal.
package struct FingerprintReport: Equatable, Sendable {
    package enum Attribute: Equatable, Sendable {
        case bool(Bool)
        case int(Int64)
        case string(String)
    }

    package let health: DriverHealth
    package let description: String
    /// The node's attributes by name.
    package let attributes: [String: Attribute]

    package init(_ facts: HostFacts, configuration: PluginConfiguration) {
        let checks = HostCheck.all(facts, landlockMinABI: configuration.confinement.landlockMinABI)
        health = checks.map(\.health).min() ?? .healthy
        description = Self.description(of: checks, health)

        var attributes: [String: Attribute] = [
            "driver.exec2.unveil.defaults": .bool(configuration.unveilDefaults),
            "driver.exec2.unveil.tasks": .bool(configuration.unveilByTask),
            "driver.exec2.version": .string(driverVersion),
        ]
        if case .version(let version) = facts.landlock {
            attributes["driver.exec2.landlock.abi"] = .int(Int64(version))
            attributes["driver.exec2.landlock.errata"] = .int(Int64(truncatingIfNeeded: facts.landlockErrata))
        }
        self.attributes = attributes
    }

    /// The failures that decide the health, each with its remedy, and one remedy for neighbours that share it.
    private static func description(of checks: [HostCheck], _ health: DriverHealth) -> String {
        if health == .healthy { return "Healthy" }
        let failures = checks.filter { $0.health == health }
        var text = ""
        for (index, failure) in failures.enumerated() {
            text += (index > 0 ? "; " : "") + failure.detail
            let next = index + 1 < failures.count ? failures[index + 1].remedy : nil
            if let remedy = failure.remedy, remedy != next { text += ": " + remedy }
        }
        return text
    }
}
