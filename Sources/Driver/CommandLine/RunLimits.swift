/// What a run's limits become on this host: those that can be enforced, and a sentence for each that
/// cannot.
struct RunLimits: Equatable, Sendable {
    var resources = RequestedResources()
    var notices: [String] = []

    /// The controllers that the limits of `options` need.
    static func controllers(for options: RunOptions) -> [String] {
        (options.memoryMB != 0 || options.memoryMaxMB != 0 ? ["memory"] : [])
            + (options.cpuMHz != 0 ? ["cpu"] : [])
    }

    /// - Parameters:
    ///   - obstacles: Why a controller limits nothing (`RunCgroup.obstacles`).
    ///   - megahertzPerCore: Nil where the kernel does not tell.
    init(_ options: RunOptions, obstacles: [String: String], megahertzPerCore: UInt64?) {
        func notEnforced(_ option: String, _ value: Int64, _ reason: String) {
            if value != 0 { notices.append("--\(option) \(value) is not enforced: \(reason)") }
        }
        if let reason = obstacles["memory"] {
            notEnforced("memory", options.memoryMB, reason)
            notEnforced("memory-max", options.memoryMaxMB, reason)
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
    }
}
