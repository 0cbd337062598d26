import Shared

/// What the operator holds every task to, and what jobs may ask for beyond it.
package struct ConfinementPolicy: Equatable, Sendable {
    /// Capabilities that a job may add.
    package var allowCaps = CapabilityList.empty
    /// Resource limits that a job may raise above the agent's own hard limits.
    package var allowUlimits: Set<ResourceLimit.Kind> = []
    /// The minimum version of the kernel's Landlock interface with which tasks are started.
    package var landlockMinABI = 1
    /// Whether tasks reach the host's abstract unix sockets.
    package var abstractSockets = false
    /// Whether tasks reach unix sockets by path, whatever the rules are.
    package var pathnameSockets = false
    /// Whether what tasks are denied goes to the kernel's audit log.
    package var logDenials = false
    /// Whether what tasks are denied is told in their events.
    package var denialEvents = false
    /// Absolute paths: what tasks are denied below them is not logged.
    var quietPaths: [String] = []
    /// Whether tasks may swap.
    var memorySwap = false
    /// Whether tasks have the seccomp filter.
    package var seccomp = true
    /// Closed system calls that a job may open.
    package var allowSyscalls: Set<SyscallGroup> = []
    /// Values that can be read, and that another kernel or a later driver may know: with them no task is started.
    var unusable: [ConfigurationError] = []

    package init() {}

    init(_ options: OptionReader) throws(ConfigurationError) {
        for (index, text) in (try options.texts("allow_caps") ?? []).enumerated() where !allowCaps.add(text) {
            let error = options.invalid("allow_caps", item: index + 1, quoted(text), CapabilityList.requirement)
            guard CapabilityList.isName(text) else { throw error }
            unusable.append(error)
        }
        allowUlimits = try options.resourceLimitKinds("allow_ulimits")
        let versions = 1...Int64(LandlockABI.newestKnown)
        if let version = try options.wholeNumber("landlock_min_abi", in: versions, orAbove: true) {
            landlockMinABI = Int(version)
            if version > versions.upperBound {
                unusable.append(options.invalid("landlock_min_abi", "\(version)", OptionReader.requirement(versions)))
            }
        }
        abstractSockets = try options.bool("abstract_sockets") ?? abstractSockets
        pathnameSockets = try options.bool("pathname_sockets") ?? pathnameSockets
        logDenials = try options.bool("log_denials") ?? logDenials
        denialEvents = try options.bool("denial_events") ?? denialEvents
        quietPaths = try options.absolutePaths("quiet_paths")
        memorySwap = try options.bool("memory_swap") ?? memorySwap
        seccomp = try options.bool("seccomp") ?? seccomp
        allowSyscalls = Set(try options.syscallGroups("allow_syscalls"))
    }

    static let schema = [
        OptionSchema("allow_caps", "list(string)", defaultLiteral: "[]"),
        OptionSchema("allow_ulimits", "list(string)", defaultLiteral: "[]"),
        OptionSchema("landlock_min_abi", "number", defaultLiteral: "1"),
        OptionSchema("abstract_sockets", "bool", defaultLiteral: "false"),
        OptionSchema("pathname_sockets", "bool", defaultLiteral: "false"),
        OptionSchema("log_denials", "bool", defaultLiteral: "false"),
        OptionSchema("denial_events", "bool", defaultLiteral: "false"),
        OptionSchema("quiet_paths", "list(string)", defaultLiteral: "[]"),
        OptionSchema("memory_swap", "bool", defaultLiteral: "false"),
        OptionSchema("seccomp", "bool", defaultLiteral: "true"),
        OptionSchema("allow_syscalls", "list(string)", defaultLiteral: "[]"),
    ]
}

extension OptionReader {
    /// A list of capabilities; empty where it is not given.
    func capabilities(_ option: String) throws(ConfigurationError) -> CapabilityList {
        var list = CapabilityList.empty
        for (index, text) in (try texts(option) ?? []).enumerated() where !list.add(text) {
            throw invalid(option, item: index + 1, quoted(text), CapabilityList.requirement)
        }
        return list
    }

    /// The names of resource limits, in any case; empty where the option is not given.
    func resourceLimitKinds(_ option: String) throws(ConfigurationError) -> Set<ResourceLimit.Kind> {
        var kinds: Set<ResourceLimit.Kind> = []
        for (index, text) in (try texts(option) ?? []).enumerated() {
            guard let kind = ResourceLimit.Kind(name: text) else {
                throw invalid(option, item: index + 1, quoted(text), "must be " + ResourceLimit.Kind.namesText)
            }
            kinds.insert(kind)
        }
        return kinds
    }

    /// A list of absolute paths; empty where it is not given.
    func absolutePaths(_ option: String) throws(ConfigurationError) -> [String] {
        let paths = try texts(option) ?? []
        for (index, path) in paths.enumerated() where path.utf8.first != 0x2F || path.utf8.contains(0) {
            throw invalid(option, item: index + 1, quoted(path), "must be an absolute path")
        }
        return paths
    }

    /// A list of groups of system calls; empty where it is not given.
    func syscallGroups(_ option: String) throws(ConfigurationError) -> [SyscallGroup] {
        var groups: [SyscallGroup] = []
        for (index, text) in (try texts(option) ?? []).enumerated() {
            guard let group = SyscallGroup(rawValue: text) else {
                throw invalid(option, item: index + 1, quoted(text), SyscallGroup.requirement)
            }
            groups.append(group)
        }
        return groups
    }
}
