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
        add(EXEC2_STEP_RESOURCE_LIMIT, number: UInt64(limit.resource))
        steps[steps.count - 1].soft = limit.soft
        steps[steps.count - 1].hard = limit.hard
        steps[steps.count - 1].optional = onlyRaising ? 1 : 0
    }

    /// The change of user, with the capabilities that are to be left after it.
    mutating func addUserAndCapabilities() {
        add(EXEC2_STEP_BOUNDING_SET, number: request.capabilities)
        // A change to another user drops them all, unless that is prevented; root keeps them.
        let isRoot = request.user_id == 0
        if !isRoot && request.capabilities != 0 { add(EXEC2_STEP_KEEP_CAPABILITIES) }
        add(EXEC2_STEP_USER_ID, number: UInt64(request.user_id))
        if isRoot || request.capabilities != 0 { add(EXEC2_STEP_CAPABILITIES, number: request.capabilities) }
        if request.ambient_capabilities != 0 { add(EXEC2_STEP_AMBIENT, number: request.ambient_capabilities) }
    }

    /// Needs no_new_privs, and comes so late because it may deny what other steps do.
    mutating func addSeccompFilter() {
        let filter = request.seccomp_filter
        // struct sock_filter has 8 bytes.
        guard filter.len >= 8, let instructions = filter.data else { return }
        add(EXEC2_STEP_SECCOMP, number: UInt64(filter.len / 8))
        steps[steps.count - 1].filter = UnsafeRawPointer(instructions)
    }

    /// `nofile to 1024:4096`.
    static func text(ofLimit step: exec2_step) -> String {
        let name = ResourceLimit.Kind(rawValue: UInt32(step.number)).map { $0.name } ?? String(step.number)
        return name + " to " + ResourceLimit.text(step.soft) + ":" + ResourceLimit.text(step.hard)
    }
}
