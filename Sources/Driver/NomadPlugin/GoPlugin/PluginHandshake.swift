import Glibc

/// What the environment says this start of the program is for; a pure function of it.
///
/// The names and the cookie are go-plugin's and Nomad's.
package enum PluginHandshake: Equatable, Sendable {
    /// Not started by an agent.
    case runByPerson
    /// Started by an agent this plugin cannot serve; the text says why.
    case refuse(String)
    /// Serve on a socket in a fresh directory in this place.
    case serve(socketPlace: SocketPlace, announcesMultiplexing: Bool)

    /// The version of the handshake itself, and the one of Nomad's plugin services.
    static let coreProtocolVersion = 1
    static let protocolVersion = 2

    private static let cookieName = "NOMAD_PLUGIN_MAGIC_COOKIE"
    private static let cookie = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"

    /// - Parameters:
    ///   - hasArguments: The command line has words after the program's name. An agent gives none, so that
    ///     the cookie has only been inherited there: from a task of an agent's, or from a shell's environment.
    ///   - user: The process's effective uid.
    package static func decide(
        environment: [String: String], hasArguments: Bool = false, user: uid_t = geteuid()
    ) -> PluginHandshake {
        guard environment[cookieName] == cookie, !hasArguments else { return .runByPerson }
        func value(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        if let versions = value("PLUGIN_PROTOCOL_VERSIONS"),
            !versions.split(separator: ",").contains(where: { Int($0.filter { $0 != " " }) == protocolVersion })
        {
            return .refuse(
                "the agent offers the plugin protocol versions \(versions), and this plugin speaks only "
                    + "\(protocolVersion): use Nomad 1.8 or newer")
        }
        if value("PLUGIN_CLIENT_CERT") != nil {
            return .refuse(
                "the agent asks for mutual TLS (PLUGIN_CLIENT_CERT), which this plugin does not speak: its socket "
                    + "is in a directory only root can enter")
        }
        let place = SocketPlace(environment: environment, user: user)
        if case .named(let directory, let variable) = place,
            !directory.hasPrefix("/") || directory.utf8.contains(where: { "|\r\n".utf8.contains($0) })
        {
            return .refuse(
                "the directory for the plugin's socket, \(directory) (from \(variable)), must be an absolute path without | "
                    + "and line breaks")
        }
        return .serve(socketPlace: place, announcesMultiplexing: value("PLUGIN_MULTIPLEX_GRPC") != nil)
    }

    /// The one line that tells the agent where to connect, newline included.
    static func line(socket: String, announcesMultiplexing: Bool) -> String {
        // The sixth field, the server's certificate, is empty; the seventh only newer clients know.
        let fields = ["\(coreProtocolVersion)", "\(protocolVersion)", "unix", socket, "grpc", ""]
        return (fields + (announcesMultiplexing ? ["false"] : [])).joined(separator: "|") + "\n"
    }
}
