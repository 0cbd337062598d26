import CLinux
import Glibc
import Shared

/// What this host can give to tasks.
struct HostAbilities: Equatable, Sendable {
    /// The version of the kernel's Landlock interface, 0 where there is none.
    let landlockABI: Int
    /// The capabilities that the agent has and can hand on (its bounding set).
    let capabilities: UInt64
    /// The agent's own hard limits, which tasks inherit. A kind that is missing has no limit.
    var hardLimits: [ResourceLimit.Kind: UInt64] = [:]

    /// The driver never removes anything from its own bounding set.
    private static let boundingSet = exec2_bounding_set()
    /// The driver raises soft limits of its own, never hard ones.
    private static let inheritedHardLimits = readHardLimits()

    /// Landlock is asked anew each time: a question that failed once must not count for ever.
    static func ofThisHost() -> HostAbilities {
        HostAbilities(
            landlockABI: max(0, Int(exec2_landlock_abi())), capabilities: boundingSet, hardLimits: inheritedHardLimits)
    }

    /// What is counted for root as one, the host's own processes and all tasks of root's: signals that wait to be taken,
    /// and the bytes of message queues. A task of root's has half of it at most, so that the host keeps the other.
    ///
    /// - Parameter given: What the job says itself.
    func rootTaskLimits(besides given: [ResourceLimit]) -> [ResourceLimit] {
        [ResourceLimit.Kind.sigpending, .msgqueue].compactMap { kind in
            guard let own = hardLimits[kind], own != ResourceLimit.unlimited,
                !given.contains(where: { $0.kind == kind })
            else { return nil }
            return ResourceLimit(kind, soft: own / 2, hard: own / 2)
        }
    }

    /// getrlimit(2) of every kind. One that the kernel does not know counts as 0, so that no job raises it.
    private static func readHardLimits() -> [ResourceLimit.Kind: UInt64] {
        var limits: [ResourceLimit.Kind: UInt64] = [:]
        for kind in ResourceLimit.Kind.allCases {
            var limit = rlimit()
            let result = getrlimit(__rlimit_resource_t(kind.rawValue), &limit)
            limits[kind] = result == 0 ? UInt64(limit.rlim_max) : 0
        }
        return limits
    }
}
