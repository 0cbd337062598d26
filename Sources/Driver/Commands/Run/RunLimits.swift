import Planning

/// What a run's limits become on this host: those that can be enforced, and a sentence for each that
/// cannot.
struct RunLimits: Equatable, Sendable {
    var resources = RequestedResources()
    var confinement: ConfinementOptions
    var notices: [String] = []

    /// The controllers that the limits of `options` need.
    static func controllers(for options: RunOptions) -> [String] {
        (options.memoryMB != 0 || options.memoryMaxMB != 0 || options.confinement.oomGroup ? ["memory"] : [])
            + (options.cpuMHz != 0 ? ["cpu"] : [])
            + (options.confinement.pidsLimit != 0 ? ["pids"] : [])
    }

    /// - Parameters:
    ///   - obstacles: Why a controller limits nothing (`RunCgroup.obstacles`).
    ///   - megahertzPerCore: Nil where the kernel does not tell.
    init(_ options: RunOptions, obstacles: [String: String], megahertzPerCore: UInt64?) {
        confinement = options.confinement
        func notEnforced(_ option: String, _ value: Int64, _ reason: String) {
            if value != 0 { notices.append("--\(option) \(value) is not enforced: \(reason)") }
        }
        if let reason = obstacles["memory"] {
            notEnforced("memory", options.memoryMB, reason)
            notEnforced("memory-max", options.memoryMaxMB, reason)
            if confinement.oomGroup { notices.append("--oom-group has no effect: \(reason)") }
            confinement.oomGroup = false
        } else {
            resources.memoryMB = options.memoryMB
            resources.memoryMaxMB = options.memoryMaxMB
        }
        if let reason = obstacles["cpu"] {
            notEnforced("cpu", options.cpuMHz, reason)
        } else if megahertzPerCore == nil {
            notEnforced("cpu", options.cpuMHz, "this kernel does not tell the speed of its cores")
        } else {
            resources.cpuShares = options.cpuMHz
        }
        if let reason = obstacles["pids"] {
            notEnforced("pids-limit", options.confinement.pidsLimit, reason)
            confinement.pidsLimit = 0
        }
    }
}
