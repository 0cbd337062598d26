import CLinux
import CMessages
import SharedEmbedded

/// What a task is held to beyond paths: resource limits, capabilities, system calls.
extension LaunchPlan {
    /// While there is still the right to raise hard limits. Descriptors are only raised here: steps
    /// that follow may need more than the task may have.
    mutating func addResourceLimits() {
        for index in 0..<request.n_resource_limits {
            guard let limit = request.resource_limits[index]?.pointee else { continue }
            add(limit, onlyRaising: limit.resource == ResourceLimit.Kind.nofile.rawValue)
        }
    }

    /// Behind the last step that opens a file.
    mutating func addDescriptorLimit() {
        for index in 0..<request.n_resource_limits {
            guard let limit = request.resource_limits[index]?.pointee,
                limit.resource == ResourceLimit.Kind.nofile.rawValue
            else { continue }
            add(limit, onlyRaising: false)
        }
    }

    private mutating func add(_ limit: Exec2__Executor__ResourceLimit, onlyRaising: Bool) {
        add(.resourceLimit(limit.resource, soft: limit.soft, hard: limit.hard, onlyRaising: onlyRaising))
    }

    /// The change of user, with the capabilities that are to be left after it.
    mutating func addUserAndCapabilities() {
        add(.boundingSet(keeping: request.capabilities))
        // A change to another user drops them all, unless that is prevented; root keeps them.
        let isRoot = request.user_id == 0
        if !isRoot && request.capabilities != 0 { add(.keepCapabilities) }
        add(.userID(request.user_id))
        // Also where the change has dropped them: the agent's inheritable ones are left by it.
        add(.capabilities(request.capabilities))
        if request.ambient_capabilities != 0 { add(.ambient(request.ambient_capabilities)) }
    }

    /// Needs no_new_privs, and comes so late because it may deny what other steps do.
    mutating func addSeccompFilter() {
        let filter = request.seccomp_filter
        // struct sock_filter has 8 bytes.
        guard filter.len >= 8, let instructions = filter.data else { return }
        add(.seccomp(instructions, count: filter.len / 8))
    }

    /// `nofile to 1024:4096`.
    static func text(ofLimit step: exec2_step) -> String {
        let name = ResourceLimit.Kind(rawValue: UInt32(step.number)).map { $0.name } ?? String(step.number)
        return name + " to " + ResourceLimit.text(step.soft) + ":" + ResourceLimit.text(step.hard)
    }
}
