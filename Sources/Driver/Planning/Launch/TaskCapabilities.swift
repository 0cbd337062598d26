/// The capabilities of a task, of its user, of what the operator allows and of what the job asks for.
struct TaskCapabilities: Equatable, Sendable {
    /// All that the task may ever have: its bounding set. A task of root's has them permitted and effective.
    let bounding: UInt64
    /// Of these what was added: ambient, so that it reaches every program that the task executes.
    let ambient: UInt64

    /// - Parameters:
    ///   - available: The agent's own bounding set. No task can have a capability that is not in it.
    init(
        isRoot: Bool, adding: CapabilityList, dropping: CapabilityList, allowed: CapabilityList, available: UInt64
    ) throws(TaskCapabilityError) {
        let own = isRoot ? Capability.forRoot & available : 0
        if adding.hasAll {
            if dropping.hasAll { throw .addedAndDropped("all") }
            if !allowed.hasAll { throw .notAllowed("all") }
        }
        for capability in adding.named {
            if dropping.named.contains(capability) { throw .addedAndDropped(capability.name) }
            if !allowed.contains(capability) && own & capability.bit == 0 { throw .notAllowed(capability.name) }
            if available & capability.bit == 0 { throw .notAvailable(capability.name) }
        }
        // "All" is all that there are here; only what is named must be here.
        let added = adding.hasAll ? Capability.every & available & ~dropping.mask : adding.mask
        bounding = (dropping.hasAll ? 0 : own & ~dropping.mask) | added
        ambient = added
    }
}

/// Why a task cannot have the capabilities that its job asks for.
enum TaskCapabilityError: Error, Equatable {
    case notAllowed(String)
    case addedAndDropped(String)
    case notAvailable(String)

    var description: String {
        switch self {
        case .notAllowed(let name):
            ConfigurationError(
                scope: .task,
                problem: .invalid(
                    option: "cap_add", item: nil, value: "\"\(name)\"",
                    requirement: "the plugin option allow_caps of this client does not allow it; an operator can add "
                        + "it there")
            ).description
        case .addedAndDropped(let name):
            ConfigurationError(
                scope: .task,
                problem: .invalid(
                    option: "cap_add", item: nil, value: "\"\(name)\"",
                    requirement: "it is in cap_drop too; a capability is either added or dropped")
            ).description
        case .notAvailable(let name):
            "cannot give the task the capability \(name) (cap_add): the agent itself does not have it, as in a container, "
                + "or by CapabilityBoundingSet of its systemd unit"
        }
    }
}
