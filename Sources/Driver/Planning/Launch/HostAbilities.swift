import Shared

/// What this host can give to tasks.
package struct HostAbilities: Equatable, Sendable {
    /// The version of the kernel's Landlock interface; 0 if it has none.
    package let landlockABI: Int
    /// The capabilities that the agent has and can hand on (its bounding set).
    package let capabilities: UInt64
    /// The agent's own hard limits, which tasks inherit. A kind that is missing has no limit.
    package var hardLimits: [ResourceLimit.Kind: UInt64] = [:]

    /// Where cgroup v2 is mounted; nil where it is not.
    package var cgroups: String?

    /// The directory that /etc/resolv.conf leads to, where that is a symlink into a service's directory below /run. The
    /// service replaces the file there, and a task is to see the new one.
    package var resolverDirectory: String?

    package init(landlockABI: Int, capabilities: UInt64, hardLimits: [ResourceLimit.Kind: UInt64] = [:]) {
        self.landlockABI = landlockABI
        self.capabilities = capabilities
        self.hardLimits = hardLimits
    }

    /// - Parameter path: What /etc/resolv.conf leads to; nil where it leads to nothing.
    package static func resolverDirectory(ofResolved path: String?) -> String? {
        let parts = path?.pathComponents ?? []
        // Not /run itself.
        guard parts.count > 2, parts.first == "run" else { return nil }
        return "/" + parts.dropLast().joined(separator: "/")
    }

    /// What is counted for root as one, the host's own processes and all tasks of root's: signals that wait to be
    /// taken, and the bytes of message queues. A task of root's has half of it at most, so that the host keeps the
    /// other.
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
}
