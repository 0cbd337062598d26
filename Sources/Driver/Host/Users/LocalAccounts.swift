import EventLoop
import Glibc
import Planning

/// The accounts in the host's own files, /etc/passwd and /etc/group, for the time in which another name service does
/// not answer: nsswitch.conf(5) has that asked too, for the groups of a local user at least.
struct LocalAccounts: Sendable {
    /// The content of a file; nil where it cannot be read.
    var read: @Sendable (String) -> [UInt8]? = { try? HostFile.read($0) }

    /// The user of this name, or of this uid where it is a number and no name. Nil where the files do not decide: where
    /// they have no such user, or another service comes before them.
    func user(_ name: String) -> TaskUser? {
        guard Self.filesDecide(inNsswitch: read("/etc/nsswitch.conf") ?? []), let passwd = read("/etc/passwd"),
            let account = Self.account(name, in: passwd), let primary = gid_t(account[3]), let uid = uid_t(account[2])
        else { return nil }
        let memberships = Self.groups(of: account[0], in: read("/etc/group") ?? []).filter { $0 != primary }
        return TaskUser(name: account[0], uid: uid, gid: primary, groups: [primary] + memberships, home: account[5])
    }

    /// Whether a user that the files have is not looked for anywhere else: they are the first service of the line
    /// `passwd`, and success with them ends the search, as it does unless the line says otherwise. Without a line they
    /// are the only service.
    static func filesDecide(inNsswitch bytes: [UInt8]) -> Bool {
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let text = line.prefix { $0 != "#" }.drop(while: \.isWhitespace)
            guard text.hasPrefix("passwd:") else { continue }
            let services = text.dropFirst("passwd:".count).drop(while: \.isWhitespace)
            let first = services.prefix { !$0.isWhitespace && $0 != "[" }
            let rest = services.dropFirst(first.count).drop(while: \.isWhitespace)
            let action = rest.first == "[" ? rest.prefix { $0 != "]" }.uppercased() : ""
            return ["files", "compat"].contains(first) && !action.contains("SUCCESS") && !action.contains("!")
        }
        return true
    }

    /// The fields of an account's line. Nil also where lines of the service compat, which refer to other services, come
    /// before it.
    private static func account(_ name: String, in passwd: [UInt8]) -> [String]? {
        let isNumber = name.utf8.allSatisfy { 0x30...0x39 ~= $0 } && (name == "0" || name.utf8.first != 0x30)
        var ofUID: [String]?
        for fields in lines(of: passwd) {
            if fields[0].hasPrefix("+") || fields[0].hasPrefix("-") { return ofUID }
            guard fields.count >= 7 else { continue }
            if fields[0] == name { return fields }
            if isNumber && fields[2] == name && ofUID == nil { ofUID = fields }
        }
        return ofUID
    }

    private static func groups(of name: String, in group: [UInt8]) -> [gid_t] {
        var groups: [gid_t] = []
        for fields in lines(of: group) where fields.count >= 4 && fields[3].split(separator: ",").contains(name[...]) {
            if let gid = gid_t(fields[2]), !groups.contains(gid) { groups.append(gid) }
        }
        return groups
    }

    /// The fields of each line of a file such as passwd(5).
    private static func lines(of bytes: [UInt8]) -> some Sequence<[String]> {
        bytes.split(separator: UInt8(ascii: "\n")).lazy.map { line in
            line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
        }
    }
}
