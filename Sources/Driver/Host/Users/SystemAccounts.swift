import Glibc
import Planning
import Shared

/// The accounts that the system knows, through whatever nsswitch.conf names (getpwnam_r(3), getgrouplist(3)).
struct SystemAccounts {
    /// getpwnam_r(3).
    var byName:
        (
            UnsafePointer<CChar>, UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32 = { getpwnam_r($0, $1, $2, $3, $4) }
    /// getpwuid_r(3).
    var byUID:
        (
            uid_t, UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32 = { getpwuid_r($0, $1, $2, $3, $4) }

    /// Bytes to begin with for the texts of one account; doubled while the system finds it too small.
    var firstBufferSize = 1024
    /// No account is this long: a bound, should the system ask for more for ever.
    var maximumBufferSize = 1 << 24

    /// The account of this name; nil if it does not exist.
    func named(_ name: String) throws(TaskUserError) -> TaskUser? {
        try lookUp(name) { record, buffer, size, result in
            byName(name, record, buffer, size, result)
        }
    }

    /// The account with this uid; nil if it does not exist.
    func numbered(_ uid: uid_t) throws(TaskUserError) -> TaskUser? {
        try lookUp("\(uid)") { record, buffer, size, result in
            byUID(uid, record, buffer, size, result)
        }
    }

    private func lookUp(
        _ asked: String,
        _ call: (
            UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
        ) -> Int32
    ) throws(TaskUserError) -> TaskUser? {
        var size = firstBufferSize
        while true {
            let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: size)
            defer { buffer.deallocate() }
            var record = passwd()
            var result: UnsafeMutablePointer<passwd>?
            let status = call(&record, buffer, size, &result)
            switch status {
            case 0:
                guard result != nil, let name = record.pw_name, let home = record.pw_dir else { return nil }
                return TaskUser(
                    name: String(cString: name), uid: record.pw_uid, gid: record.pw_gid,
                    groups: try groups(of: name, primary: record.pw_gid), home: String(cString: home))
            case EINTR: continue
            case ERANGE where size < maximumBufferSize: size *= 2
            // POSIX wants 0 for "not found"; getpwnam_r(3) lists these two as other answers in use.
            case ENOENT, ESRCH: return nil
            default: throw .lookupFailed(asked, Errno(rawValue: status))
            }
        }
    }

    private func groups(of name: UnsafePointer<CChar>, primary: gid_t) throws(TaskUserError) -> [gid_t] {
        var capacity: Int32 = 16
        // NGROUPS_MAX is 65536: a list beyond it could not be set anyway.
        while capacity <= 65536 {
            var count = capacity
            var list = [gid_t](repeating: 0, count: Int(capacity))
            if getgrouplist(name, primary, &list, &count) >= 0 { return Array(list.prefix(Int(count))) }
            capacity = max(count, capacity * 2)
        }
        throw .groupsUnknown(String(cString: name))
    }
}

extension TaskUser {
    /// The user of the name that the host sends: a dynamic workload user, or one that the system knows.
    static func resolve(_ name: String, accounts: SystemAccounts = SystemAccounts()) throws(TaskUserError) -> TaskUser {
        if let user = try withoutLookUp(name) { return user }
        if let account = try accounts.named(name) { return account }
        if name.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
            // A list of names that has "0" must not be passed by "00".
            if name.utf8.count > 1 && name.utf8.first == 0x30 { throw .zerosBeforeUID(name) }
            guard let uid = uid_t(name), uid != .max else { throw .uidOutOfRange(name) }
            if let account = try accounts.numbered(uid) { return account }
            throw .noAccountOfUID(name)
        }
        throw .notFound(name)
    }
}
