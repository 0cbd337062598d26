import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// The directory of all tasks' state directories (plugin option `state_dir`). Who could write there could command
/// Executors and forge exit records, so it is root's alone, and so is the way to it.
///
/// The directory of plugins' sockets must meet the same conditions.
package struct StateDirectory: Sendable {
    static let option = "state_dir"

    package let path: String
    /// What it is, for errors.
    private let title: String

    package init(path: String, title: String = "the state directory (option state_dir)") {
        self.path = path
        self.title = title
    }

    /// Why it cannot be used as it is now; nil where it can, or where it is still to be made.
    package var fault: StateDirectoryFault? {
        let isShared: Bool
        switch PathTrust.of(path, last: false) {
        case .untrusted(let fault): return .untrustedPath(path, fault)
        case .trusted(let shared): isShared = shared
        }
        switch PathTrust.look(path) {
        case .missing: return nil
        case .unreadable(let errno): return .unusable(path, errno)
        case .symlink, .other: return .unusable(path, .notDirectory)
        case .directory(let owner, _):
            return owner == geteuid() || !isShared ? nil : .takenByOther(path, owner)
        }
    }

    /// Why it cannot be made where it is missing: only making it tells. Nil where it is there, or is made now.
    package var faultWhereMissing: StateDirectoryFault? {
        guard PathTrust.look(path) == .missing else { return nil }
        do throws(StateDirectoryFault) {
            _ = try prepare()
            return nil
        } catch {
            return error
        }
    }

    /// The names of what may be a task's directory in it. Of those that begin with a dot a Driver is just making one.
    package func taskNames() throws(SystemError) -> [String] {
        guard let names = DirectoryListing.names(in: path) else { throw SystemError("read the state directory", path) }
        return names.filter { !$0.hasPrefix(".") }
    }

    /// The names of all that is in it, without the directory of plugins' sockets.
    package func names() throws(SystemError) -> [String] {
        try DirectoryListing.read(path).filter { $0 != PluginSockets.name }
    }

    /// Makes it if it is missing, with its parents, and ensures that only root can use it.
    ///
    /// If it belongs to another user although only root can make entries above it, root has made it so or has changed
    /// its owner. A task of root's with the capability `chown` can do the latter, and must not stop the node by that:
    /// the owner is changed back. What the other user may have put in it is trusted nowhere (`TaskStateDirectory`).
    /// - Returns: The user that had it, where it was taken back.
    package func prepare() throws(StateDirectoryFault) -> uid_t? {
        if let fault { throw fault }
        if PathTrust.look(path) == .missing {
            try makeParents()
            if mkdir(path, 0o700) != 0 && Errno.last != .fileExists {
                throw .failed(SystemError("make \(title)", path))
            }
            // Between the look and the making, another may have been there first.
            if let fault { throw fault }
        }
        return try takeBack()
    }

    private func makeParents() throws(StateDirectoryFault) {
        var parent = ""
        for part in path.pathComponents.dropLast() {
            parent += "/" + part
            if mkdir(parent, 0o755) != 0 && Errno.last != .fileExists {
                throw .failed(SystemError("make, for \(title), the directory", parent))
            }
        }
    }

    private func takeBack() throws(StateDirectoryFault) -> uid_t? {
        do throws(SystemError) {
            let directory = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            let facts = try directory.facts(of: path)
            let isOwn = facts.owner == geteuid()
            if !isOwn, fchown(directory.number, geteuid(), getegid()) != 0 {
                throw SystemError("change the owner of", path)
            }
            if facts.mode & 0o077 != 0 || !isOwn, fchmod(directory.number, 0o700) != 0 {
                throw SystemError("change the mode of", path)
            }
            return isOwn ? nil : facts.owner
        } catch {
            throw .failed(error)
        }
    }
}

/// Why the state directory cannot be used.
package enum StateDirectoryFault: Error, Equatable {
    case untrustedPath(String, PathFault)
    /// In a directory where anybody may make entries: it was never root's, perhaps.
    case takenByOther(String, uid_t)
    case unusable(String, Errno)
    case failed(SystemError)

    /// What is wrong.
    package var text: String {
        switch self {
        case .untrustedPath(let path, let fault):
            "cannot use the state directory \(path) (option state_dir): \(fault.text)"
        case .takenByOther(let path, let owner):
            "cannot use the state directory \(path) (option state_dir): it belongs to user \(owner), and is in a directory where "
                + "others may make it"
        case .unusable(let path, let errno): "cannot use the state directory \(path) (option state_dir): \(errno.text)"
        case .failed(let error): error.text
        }
    }

    /// What to do about it.
    package var remedy: String {
        switch self {
        case .untrustedPath(_, let fault): fault.remedy("set the plugin option \(StateDirectory.option)")
        case .takenByOther(let path, _):
            "remove \(path), or set the plugin option state_dir to a path that root alone can write to"
        case .unusable, .failed: "set the plugin option state_dir to a path at which root can make a directory"
        }
    }

    /// What is wrong and what to do about it where the path is no plugin option's.
    /// - Parameters:
    ///   - directory: What it is.
    ///   - setting: How another one is given: "set --state-dir".
    package func sentence(_ directory: String = "the state directory", setting: String) -> String {
        switch self {
        case .untrustedPath(let path, let fault):
            "cannot use \(directory) \(path): \(fault.text); \(fault.remedy(setting))"
        case .takenByOther(let path, let owner):
            "cannot use \(directory) \(path): it belongs to user \(owner), and is in a directory where others may "
                + "make it; remove it, or \(setting) to a directory that root alone can write to"
        case .unusable(let path, let errno):
            "cannot use \(directory) \(path): \(errno.text); \(setting) to another directory"
        case .failed(let error): "\(error.text); \(setting) to another directory"
        }
    }

    /// Whether trying again may help.
    package var mayPass: Bool {
        if case .failed(let error) = self { StartError.mayPass(error.errno) } else { false }
    }
}
