import Glibc
import HCLog
import Host
import Planning

/// The directory in which the plugin makes the one of its socket.
///
/// Not /tmp, which tasks have: only a socket's peer is checked by the driver, so a task of root's that can rename the
/// socket could bind its own in the place and receive what the agent sends.
package enum SocketPlace: Equatable, Sendable {
    /// `PluginSockets.path`.
    case ofHost
    /// What a variable of the environment names.
    case named(String, variable: String)
    /// A driver that is not root's starts no task, but an agent that is not root's loads it, and must start.
    case ofOtherUser

    private static let defaultOfOtherUser = "/tmp"

    /// The place that the environment of a plugin of this user's chooses.
    package init(environment: [String: String], user: uid_t) {
        for variable in ["PLUGIN_UNIX_SOCKET_DIR"] + (user == 0 ? [] : ["TMPDIR"]) {
            if let path = environment[variable], !path.isEmpty {
                self = .named(path, variable: variable)
                return
            }
        }
        self = user == 0 ? .ofHost : .ofOtherUser
    }

    /// Makes the host's place where it is missing. Returns the directory's path.
    func prepare(log: Logger) throws(PluginError) -> String {
        switch self {
        case .named(let path, _): return path
        case .ofOtherUser: return Self.defaultOfOtherUser
        case .ofHost:
            try Self.prepare(parent: PluginSockets.parent, log: log)
            return PluginSockets.path
        }
    }

    /// Makes the directory of sockets, and the one above it, if they are missing, and sees to it that they are root's
    /// alone.
    static func prepare(parent: String, log: Logger) throws(PluginError) {
        let title = "the directory of plugins' sockets"
        for path in [parent, parent + "/" + PluginSockets.name] {
            do throws(StateDirectoryFault) {
                guard let other = try StateDirectory(path: path, title: title).prepare() else { continue }
                log.warn("\(title) belonged to another user and was taken back", ["path": path, "uid": Int(other)])
            } catch {
                throw PluginError(error.sentence(title, setting: "point PLUGIN_UNIX_SOCKET_DIR"))
            }
        }
    }
}
