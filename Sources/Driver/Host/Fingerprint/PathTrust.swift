import Glibc
import Planning
import Shared

/// Whether only root can replace a file or directory that root relies on.
///
/// Whoever may write to a directory may rename and remove what is in it. So every directory on the way must belong
/// to root and be writable by root alone, those that symlinks lead through included. A sticky directory that others
/// may write to, such as /tmp, is no exception to be afraid of: only an entry's owner and the directory's owner
/// rename and remove an entry there (unlink(2)), so that what root has made in it stays.
package enum PathTrust: Equatable, Sendable {
    /// - isShared: The last part is in a directory in which others may make entries of their own.
    case trusted(isShared: Bool)
    case untrusted(PathFault)

    /// What one part of a path is.
    package enum Entry: Equatable, Sendable {
        case directory(owner: uid_t, mode: mode_t)
        case symlink(owner: uid_t, target: String)
        case other(owner: uid_t, mode: mode_t)
        case missing
        case unreadable(Errno)
    }

    /// Beyond this the kernel gives up too (path_resolution(7)).
    private static let mostSymlinks = 40

    /// Judges the way to `path`, which is absolute, and what it leads to.
    ///
    /// What is missing, and all that would be below it, root will make itself.
    /// - Parameters:
    ///   - last: Whether the last part must be root's and writable by root alone, too.
    ///   - look: What is at a path, its last part being no followed symlink.
    package static func of(
        _ path: String, last: Bool, owner: uid_t = geteuid(), look: (String) -> Entry = Self.look
    ) -> PathTrust {
        var pending = Array(path.pathComponents.reversed())
        var reached: [Substring] = []
        var symlinks = 0
        var isShared = false
        if let fault = fault(of: look("/"), at: "/", owner, &isShared) { return .untrusted(fault) }
        while let part = pending.popLast() {
            if part == "." { continue }
            if part == ".." {
                // What is above has been judged on the way down, but whether it is shared was not kept.
                _ = reached.popLast()
                let parent = Self.text(reached)
                if let fault = fault(of: look(parent), at: parent, owner, &isShared) { return .untrusted(fault) }
                continue
            }
            if pending.isEmpty && !last { return .trusted(isShared: isShared) }
            let here = Self.text(reached + [part])
            let entry = look(here)
            switch entry {
            case .missing: return .trusted(isShared: isShared)
            case .symlink(let user, let target):
                symlinks += 1
                if symlinks > mostSymlinks { return .untrusted(.unreadable(here, .tooManySymlinks)) }
                if user != 0 && user != owner { return .untrusted(.owned(here, user)) }
                if target.utf8.first == UInt8(ascii: "/") { reached = [] }
                pending += target.pathComponents.reversed()
                let from = Self.text(reached)
                if let fault = fault(of: look(from), at: from, owner, &isShared) { return .untrusted(fault) }
            case .directory where pending.isEmpty:
                // Whether others may make entries in it does not count for itself.
                var shares = false
                if let fault = fault(of: entry, at: here, owner, &shares) { return .untrusted(fault) }
                return .trusted(isShared: isShared)
            case .other(let user, let mode) where pending.isEmpty:
                if user != 0 && user != owner { return .untrusted(.owned(here, user)) }
                return mode & (S_IWGRP | S_IWOTH) == 0
                    ? .trusted(isShared: isShared) : .untrusted(.writable(here, false))
            case .directory, .other, .unreadable:
                if let fault = fault(of: entry, at: here, owner, &isShared) { return .untrusted(fault) }
                reached.append(part)
            }
        }
        return .trusted(isShared: isShared)
    }

    /// Why a directory on the way cannot be relied on; nil where it can.
    private static func fault(
        of entry: Entry, at path: String, _ owner: uid_t, _ isShared: inout Bool
    ) -> PathFault? {
        switch entry {
        case .unreadable(let errno): return .unreadable(path, errno)
        case .missing: return .unreadable(path, .noSuchFile)
        case .other, .symlink: return .unreadable(path, .notDirectory)
        case .directory(let user, let mode):
            // The sticky bit does not bind a directory's owner.
            if user != 0 && user != owner { return .owned(path, user) }
            isShared = mode & (S_IWGRP | S_IWOTH) != 0
            return isShared && mode & S_ISVTX == 0 ? .writable(path, true) : nil
        }
    }

    private static func text(_ parts: [Substring]) -> String { "/" + parts.joined(separator: "/") }

    /// lstat(2), and readlink(2) for a symlink, whose target need not be UTF-8 (`ByteText`).
    package static func look(_ path: String) -> Entry {
        var facts = stat()
        guard ByteText.withPath(path, { lstat($0, &facts) }) == 0 else {
            return Errno.last == .noSuchFile ? .missing : .unreadable(.last)
        }
        switch facts.st_mode & S_IFMT {
        case S_IFDIR: return .directory(owner: facts.st_uid, mode: facts.st_mode & 0o7777)
        case S_IFLNK:
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = ByteText.withPath(path) { readlink($0, &buffer, buffer.count) }
            guard count >= 0 else { return .unreadable(.last) }
            let target = ByteText.text(buffer[..<count].map(UInt8.init(bitPattern:)))
            return .symlink(owner: facts.st_uid, target: target)
        default: return .other(owner: facts.st_uid, mode: facts.st_mode & 0o7777)
        }
    }
}

/// Why a path cannot be relied on.
package enum PathFault: Equatable, Sendable {
    case unreadable(String, Errno)
    /// Others may write to a directory (true) or a file (false).
    case writable(String, Bool)
    case owned(String, uid_t)

    /// What is wrong, as a sentence's end.
    var text: String {
        switch self {
        case .unreadable(let path, let errno): "cannot examine \(path): \(errno.text)"
        case .writable(let path, true): "others may write to \(path), so they could replace what is in it"
        case .writable(let path, false): "others may write to \(path)"
        case .owned(let path, let user): "\(path) belongs to user \(user), who could replace it or what is in it"
        }
    }

    /// What to do about it.
    /// - Parameter setting: How another path is given: "set the plugin option state_dir".
    func remedy(_ setting: String) -> String {
        let elsewhere = "\(setting) to a path that root alone can write to"
        return switch self {
        case .unreadable: elsewhere
        case .writable(let path, true): "take away that right (chmod go-w \(path)), or \(elsewhere)"
        case .writable(let path, false): "take away that right (chmod go-w \(path))"
        case .owned(let path, _): "give it to root (chown root \(path)), or \(elsewhere)"
        }
    }
}
