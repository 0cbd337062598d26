import CMessages
import Messages
import Shared

/// What the sentences about a failed launch name besides its stage and errno.
///
/// A start makes it from the launch's description, a command in the task from the request that the task's Executor
/// keeps. The two are equal, so that the same failure gives the same sentence.
package struct LaunchFailureContext: Equatable, Sendable {
    struct Rule: Equatable, Sendable {
        let rule: UnveilRule
        /// Refused where one of the path's last two parts is a symlink.
        let noSymlink: Bool
        /// The path must not lead out of a directory of the task's.
        let staysInTask: Bool
        /// Nil for defaults.
        let origin: String?
    }

    struct Mount: Equatable, Sendable {
        let source: String
        /// Nil for a device that a task of an earlier release uses in its own place.
        let destination: String?
        /// The destination is made where it is missing.
        let isMade: Bool
        let isDevice: Bool
    }

    /// The user's name, or its number where the request has no name.
    let user: String
    let cgroup: String
    let rules: [Rule]
    let mounts: [Mount]
}

extension LaunchFailureContext {
    /// The context of a launch that this Driver has planned.
    package init(_ specification: LaunchSpecification) {
        user = specification.user.name
        cgroup = specification.cgroup
        rules = specification.unveil.map {
            Rule(rule: $0.rule, noSymlink: $0.noSymlink, staysInTask: $0.beneath != nil, origin: $0.origin)
        }
        mounts = specification.mounts.map {
            Mount(
                source: $0.source, destination: $0.destination.path, isMade: $0.destination.isMade,
                isDevice: $0.kind == .device)
        }
    }

    /// The context of a launch whose request an Executor has kept. A Driver of an earlier release left the user's name
    /// and the rules' origins out.
    package init(_ launch: MessageView<Exec2__Executor__LaunchRequest>) {
        let name = launch.user_name
        user = name.isEmpty ? String(launch.user_id) : name
        cgroup = launch.cgroup
        rules = launch.messages(.unveil).map {
            let origin = $0.origin
            return Rule(
                rule: UnveilRule(
                    modes: AccessModes(rawValue: UInt8(truncatingIfNeeded: $0.modes)), path: $0.path,
                    isOptional: !origin.isEmpty && $0.isSet(\.optional)),
                noSymlink: $0.isSet(\.no_symlink), staysInTask: !$0.beneath.isEmpty,
                origin: origin.isEmpty ? nil : origin)
        }
        mounts = launch.messages(.mounts).map {
            let inside = $0.inside
            return Mount(
                source: $0.source, destination: inside.isEmpty ? nil : joinedPath($0.root, inside),
                isMade: $0.isSet(\.make), isDevice: $0.isSet(\.device))
        }
    }
}
