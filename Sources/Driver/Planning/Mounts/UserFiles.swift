import Glibc
import Shared

/// `/etc/passwd` and `/etc/group` of a task's own: with root, and the user that it runs as.
struct UserFiles: Equatable, Sendable {
    let user: TaskUser
    /// The host's name of a group; nil where it is not known.
    let groupName: @Sendable (gid_t) -> String?

    static func == (left: UserFiles, right: UserFiles) -> Bool { left.user == right.user }

    static let paths = ["/etc/passwd", "/etc/group"]

    var files: [GeneratedFile] {
        get throws(StartError) {
            try check(user.name, "name")
            try check(user.home, "home directory")
            return [
                GeneratedFile(path: Self.paths[0], text: Self.text(accounts)),
                GeneratedFile(path: Self.paths[1], text: Self.text(groups)),
            ]
        }
    }

    /// A name in the comment too: git takes the author's name from there.
    private var accounts: [String] {
        let own = "\(user.name):x:\(user.uid):\(user.gid):\(user.name):\(user.home):/bin/sh"
        return hasRootsName ? [own] : ["root:x:0:0:root:/root:/usr/sbin/nologin", own]
    }

    private var hasRootsName: Bool { user.uid == 0 || user.name == "root" }

    private var groups: [String] {
        var lines = user.gid == 0 ? [] : ["root:x:0:" + (user.groups.contains(0) ? user.name : "")]
        lines.append("\(name(of: user.gid, else: user.name)):x:\(user.gid):")
        var known: Set<gid_t> = [0, user.gid]
        for gid in user.groups where known.insert(gid).inserted {
            lines.append("\(name(of: gid, else: "group-\(gid)")):x:\(gid):\(user.name)")
        }
        return lines
    }

    /// - Parameter name: For a group that the host has no name for.
    private func name(of gid: gid_t, else name: String) -> String {
        if user.isDynamic && gid == user.gid { return name }
        guard let found = groupName(gid), Self.isField(found), !found.isEmpty else { return name }
        return found
    }

    private func check(_ field: String, _ what: String) throws(StartError) {
        if Self.isField(field) { return }
        throw StartError(
            .permanent,
            "cannot make the task's /etc/passwd: the \(what) \(quoted(field)) of its user has a colon or a control "
                + "character, which no field of that file can have")
    }

    private static func isField(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0 != ":" }
    }

    private static func text(_ lines: [String]) -> String {
        lines.map { $0 + "\n" }.joined()
    }
}

/// The names of the host's groups as /etc/group has them.
package enum GroupFile {
    /// Nil where no line has the gid.
    package static func name(of gid: gid_t, in file: [UInt8]) -> String? {
        for line in file.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.count >= 3, !fields[0].isEmpty, gid_t(String(decoding: fields[2], as: UTF8.self)) == gid else {
                continue
            }
            return String(decoding: fields[0], as: UTF8.self)
        }
        return nil
    }
}
