import Glibc
import Shared

/// The user a task runs as.
package struct TaskUser: Equatable, Sendable {
    /// For USER in the task's environment.
    package let name: String
    package let uid: uid_t
    package let gid: gid_t
    /// Supplementary groups for setgroups(2), the primary one included where the system lists it; none for a
    /// dynamic workload user.
    package let groups: [gid_t]
    /// For HOME in the task's environment.
    package let home: String

    package init(name: String, uid: uid_t, gid: gid_t, groups: [gid_t], home: String) {
        self.name = name
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home
    }

    /// The same user with another home directory; nil: with its own.
    func living(at home: String?) -> TaskUser {
        guard let home else { return self }
        return TaskUser(name: name, uid: uid, gid: gid, groups: groups, home: home)
    }

    /// Whether the host made the user up for one task: no account has such a name (`dynamicWorkloadUser`).
    var isDynamic: Bool { name == "nomad-\(uid)" }

    /// The user where the name alone tells him: a dynamic workload user; nil where the system is to be asked.
    package static func withoutLookUp(_ name: String) throws(TaskUserError) -> TaskUser? {
        if name.isEmpty { throw .empty }
        if name.utf8.contains(0) { throw .unusableName(name) }
        return try dynamicWorkloadUser(name)
    }

    /// Where the uids begin that a host may hand out: those below are the system's own.
    static let minimumDynamicID: uid_t = 1000

    /// `nomad-<n>`, made up by the host for one task: no account stands behind it, and its uid and gid are n.
    /// Nil for any other form of name.
    private static func dynamicWorkloadUser(_ name: String) throws(TaskUserError) -> TaskUser? {
        let prefix = "nomad-"
        let digits = name.utf8.dropFirst(prefix.utf8.count)
        guard name.hasPrefix(prefix), !digits.isEmpty, digits.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        // (uid_t)-1 means "no change" to setresuid(2).
        guard digits.first != 0x30, let id = uid_t(Substring(digits)), minimumDynamicID..<uid_t.max ~= id else {
            throw .dynamicIDOutOfRange(name)
        }
        return TaskUser(name: name, uid: id, gid: id, groups: [], home: "/nonexistent")
    }
}

/// Why a task cannot run as the user it names.
package enum TaskUserError: Error, Equatable, CustomStringConvertible {
    case empty
    case unusableName(String)
    case dynamicIDOutOfRange(String)
    case notFound(String)
    case uidOutOfRange(String)
    case zerosBeforeUID(String)
    case noAccountOfUID(String)
    /// A dynamic user that the client has not handed out.
    case notOfTheClient(String, ClosedRange<uid_t>)
    case deniedUID(String, uid_t, IDRanges)
    case deniedGID(String, gid_t, IDRanges)
    /// The account may exist: whoever was asked could not tell.
    case lookupFailed(String, Errno)
    case groupsUnknown(String)
    /// The account may exist: its lookup has not returned.
    case noAnswer(String, seconds: UInt64)
    /// The account may exist: it was not looked up, since lookups of other accounts hang.
    case notLookedUp(String, seconds: UInt64, others: [String])
    /// StartTask was cancelled.
    case givenUp(String)

    /// Whether the same lookup may succeed later.
    package var mayPass: Bool {
        switch self {
        case .noAnswer, .notLookedUp, .givenUp: true
        case .lookupFailed(_, let error): StartError.mayPass(error)
        default: false
        }
    }

    package var description: String {
        switch self {
        case .empty:
            "Nomad sent no user: it forgot this task's dynamic user when the agent was restarted; stop the "
                + "allocation (nomad alloc stop), so that the task is placed again, or set user in the job"
        case .unusableName(let name):
            "user \(quoted(name)): a user's name cannot have a NUL character in it"
        case .dynamicIDOutOfRange(let name):
            "user \(quoted(name)): the number of a dynamic workload user must be from \(TaskUser.minimumDynamicID) "
                + "to \(uid_t.max - 1), without zeros before it"
        case .notFound(let name):
            "user \(quoted(name)): there is no such user on this host"
        case .uidOutOfRange(let name):
            "user \(quoted(name)): a uid must be from 0 to \(uid_t.max - 1)"
        case .zerosBeforeUID(let name):
            "user \(quoted(name)): a uid is written without zeros before it"
        case .notOfTheClient(let name, let range):
            "user \(quoted(name)): the dynamic workload users of this client are nomad-\(range.lowerBound) to "
                + "nomad-\(range.upperBound); where the client's users block has another range, an operator must set the "
                + "plugin options dynamic_user_min and dynamic_user_max to the same"
        case .deniedUID(let name, let uid, let ranges):
            "user \(quoted(name)): its uid \(uid) is among those that the plugin option denied_host_uids of this client "
                + "denies to tasks: \(ranges.text)"
        case .deniedGID(let name, let gid, let ranges):
            "user \(quoted(name)): its group \(gid) is among those that the plugin option denied_host_gids of this client "
                + "denies to tasks: \(ranges.text)"
        case .noAccountOfUID(let name):
            "user \(quoted(name)): this host has neither a user of this name nor one with this uid"
        case .lookupFailed(let name, let error):
            "user \(quoted(name)): cannot look it up on this host: \(error.text)"
        case .groupsUnknown(let name):
            "user \(quoted(name)): cannot list its supplementary groups"
        case .noAnswer(let name, let seconds):
            "user \(quoted(name)): the lookup of this user and its groups (getpwnam, getgrouplist) has not been answered "
                + "within \(seconds) s: \(Self.hangingService("this user"))"
        case .notLookedUp(let name, let seconds, let others):
            "user \(quoted(name)): the lookup of this user and its groups (getpwnam, getgrouplist) could not begin within "
                + "\(seconds) s, since those of other users have not been answered and no more may run at once ("
                + others.map { quoted($0) }.joined(separator: ", ") + "): \(Self.hangingService("those users"))"
        case .givenUp(let name):
            "user \(quoted(name)): StartTask was cancelled before the lookup was answered"
        }
    }

    private static func hangingService(_ users: String) -> String {
        "a name service of this host hangs (the lines passwd and group of /etc/nsswitch.conf say which there are); see "
            + "whether \"getent passwd\" and \"id\" answer for \(users), and restart the service (sssd, nslcd), or restore "
            + "the connection to its server"
    }
}
