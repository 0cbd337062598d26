import Glibc
import Shared

/// Which users the operator lets tasks run as.
///
/// It is asked about resolved ids: a job can name one user in many ways, as `root`, `0` or an alias, and a list
/// of names such as the agent's `user.denylist` sees only one of them.
package struct UserPolicy: Equatable, Sendable {
    /// Plugin option `denied_host_uids`.
    var deniedUIDs = IDRanges.none
    /// Plugin option `denied_host_gids`: for a user's primary and supplementary groups.
    var deniedGIDs = IDRanges.none
    /// The numbers of dynamic workload users that the client hands out, plugin options `dynamic_user_min` and
    /// `dynamic_user_max`. The client does not tell its plugins; these are the defaults of its `users` block.
    var dynamicUsers: ClosedRange<uid_t> = 80_000...89_999

    init() {}

    init(_ options: OptionReader) throws(ConfigurationError) {
        deniedUIDs = try options.idRanges("denied_host_uids")
        deniedGIDs = try options.idRanges("denied_host_gids")
        // uid_t's largest number means "no change" to setresuid(2).
        let possible = Int64(TaskUser.minimumDynamicID)...Int64(uid_t.max - 1)
        let lower = try options.wholeNumber("dynamic_user_min", in: possible) ?? Int64(dynamicUsers.lowerBound)
        let upper = try options.wholeNumber("dynamic_user_max", in: possible) ?? Int64(dynamicUsers.upperBound)
        guard lower <= upper else {
            throw options.invalid(
                "dynamic_user_max", "\(upper)", "must not be below dynamic_user_min, which is \(lower)")
        }
        dynamicUsers = uid_t(lower)...uid_t(upper)
    }

    static let schema = [
        OptionSchema("denied_host_uids", "string"),
        OptionSchema("denied_host_gids", "string"),
        OptionSchema("dynamic_user_min", "number", defaultLiteral: "80000"),
        OptionSchema("dynamic_user_max", "number", defaultLiteral: "89999"),
    ]

    /// Fails where the operator does not let tasks run as this user.
    /// - Parameter name: The user as the job named it, for the error.
    package func check(_ user: TaskUser, named name: String) throws(TaskUserError) {
        if user.isDynamic && !dynamicUsers.contains(user.uid) { throw .notOfTheClient(name, dynamicUsers) }
        if deniedUIDs.contains(user.uid) { throw .deniedUID(name, user.uid, deniedUIDs) }
        if let group = ([user.gid] + user.groups).first(where: deniedGIDs.contains) {
            throw .deniedGID(name, group, deniedGIDs)
        }
    }
}

extension OptionReader {
    /// Ranges of ids; none where the option is not given.
    fileprivate func idRanges(_ option: String) throws(ConfigurationError) -> IDRanges {
        guard let text = try text(option, requirement: IDRanges.requirement) else { return .none }
        guard let ranges = IDRanges(text) else { throw invalid(option, quoted(text), IDRanges.requirement) }
        return ranges
    }
}
