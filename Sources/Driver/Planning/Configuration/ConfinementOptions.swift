import Shared

/// What a job asks for its task's confinement to be.
package struct ConfinementOptions: Equatable, Sendable {
    package var capAdd = CapabilityList.empty
    package var capDrop = CapabilityList.empty
    /// How many processes and threads the task may have; 0 is no limit.
    package var pidsLimit: Int64 = 0
    /// At most one of a kind, in the order of their numbers.
    package var ulimits: [ResourceLimit] = []
    /// Whether the kernel ends the whole task for memory, not one of its processes.
    package var oomGroup = false
    /// The ports that TCP sockets may be bound or connected to; nil for all, empty for none.
    package var tcpBind: [UInt16]?
    package var tcpConnect: [UInt16]?
    /// The same for UDP sockets.
    package var udpBind: [UInt16]?
    package var udpConnect: [UInt16]?
    /// Closed system calls that the task needs.
    package var syscalls: [SyscallGroup] = []

    /// The names of the options that keep the task to some ports, and the version of Landlock that each needs.
    var portRules: [(option: String, minimumABI: Int)] {
        var rules: [(String, Int)] = []
        if tcpBind != nil { rules.append(("tcp_bind", LandlockNetworkRights.minimumABIForTCP)) }
        if tcpConnect != nil { rules.append(("tcp_connect", LandlockNetworkRights.minimumABIForTCP)) }
        if udpBind != nil { rules.append(("udp_bind", LandlockNetworkRights.minimumABIForUDP)) }
        if udpConnect != nil { rules.append(("udp_connect", LandlockNetworkRights.minimumABIForUDP)) }
        return rules
    }

    /// The kernel's largest pid_max.
    package static let pidsLimits: ClosedRange<Int64> = 0...4_194_304

    package init() {}

    init(_ options: OptionReader) throws(ConfigurationError) {
        capAdd = try options.capabilities("cap_add")
        capDrop = try options.capabilities("cap_drop")
        pidsLimit = try options.wholeNumber("pids_limit", in: Self.pidsLimits) ?? 0
        ulimits = try Self.ulimits(options)
        oomGroup = try options.bool("oom_group") ?? false
        tcpBind = try options.ports("tcp_bind")
        tcpConnect = try options.ports("tcp_connect")
        udpBind = try options.ports("udp_bind")
        udpConnect = try options.ports("udp_connect")
        syscalls = try options.syscallGroups("syscalls")
    }

    static let schema = [
        OptionSchema("cap_add", "list(string)"),
        OptionSchema("cap_drop", "list(string)"),
        OptionSchema("pids_limit", "number"),
        OptionSchema("ulimit", "map(string)"),
        OptionSchema("oom_group", "bool"),
        OptionSchema("tcp_bind", "list(number)"),
        OptionSchema("tcp_connect", "list(number)"),
        OptionSchema("udp_bind", "list(number)"),
        OptionSchema("udp_connect", "list(number)"),
        OptionSchema("syscalls", "list(string)"),
    ]

    private static func ulimits(_ options: OptionReader) throws(ConfigurationError) -> [ResourceLimit] {
        var limits: [ResourceLimit] = []
        for (name, value) in try options.textMap("ulimit") ?? [] {
            do throws(ResourceLimitTextError) {
                let limit = try ResourceLimit(name: name, value: value)
                if limits.contains(where: { $0.kind == limit.kind }) { throw .init("is given twice") }
                limits.append(limit)
            } catch {
                throw options.invalid("ulimit", "\(quoted(name)) = \(quoted(value))", error.reason)
            }
        }
        return limits.sorted { $0.kind.rawValue < $1.kind.rawValue }
    }
}

/// Why a name and a value are no resource limit.
package struct ResourceLimitTextError: Error, Equatable {
    package let reason: String

    init(_ reason: String) { self.reason = reason }
}

extension ResourceLimit.Kind {
    /// The limit of this name, whose case does not matter; nil if it is not the name of a limit.
    init?(name: String) {
        guard let kind = Self.allCases.first(where: { $0.name == name.lowercased() }) else { return nil }
        self = kind
    }

    /// What an unknown name must be.
    static let namesText = "one of " + allCases.map(\.name).sorted().joined(separator: ", ")
}

extension ResourceLimit {
    /// - Parameters:
    ///   - name: Of a limit, in any case: `nofile`.
    ///   - value: `soft:hard`, or one value for both. A value is a whole number, `unlimited` or `-1`.
    package init(name: String, value: String) throws(ResourceLimitTextError) {
        guard let kind = Kind(name: name) else { throw .init("the name must be \(Kind.namesText)") }
        let parts = value.split(separator: ":", omittingEmptySubsequences: false).map { Self.number($0) }
        guard (1...2).contains(parts.count), let soft = parts[0], let hard = parts[parts.count - 1] else {
            throw .init(
                "must be soft:hard, or one value for both; a value is a whole number, unlimited, or -1 for the same")
        }
        if soft > hard { throw .init("the soft limit must not be above the hard one") }
        self.init(kind, soft: soft, hard: hard)
    }

    private static func number(_ text: Substring) -> UInt64? {
        if text == "unlimited" || text == "-1" { return unlimited }
        // UInt64(_:) would take a sign.
        guard let first = text.utf8.first, (0x30...0x39).contains(first), let number = UInt64(text) else { return nil }
        return number == unlimited ? nil : number
    }
}
