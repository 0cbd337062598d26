import Glibc
import Testing

@testable import NomadPlugin
@testable import Planning

@Suite struct PluginHandshakeTests {
    private static let cookie = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"

    private func decide(_ variables: [String: String]) -> PluginHandshake {
        let cookie = ["NOMAD_PLUGIN_MAGIC_COOKIE": Self.cookie]
        return .decide(environment: cookie.merging(variables) { $1 })
    }

    private func refusal(_ variables: [String: String]) -> String? {
        if case .refuse(let reason) = decide(variables) { reason } else { nil }
    }

    @Test func withoutTheCookieAPersonRunsIt() {
        #expect(PluginHandshake.decide(environment: [:]) == .runByPerson)
        #expect(decide(["NOMAD_PLUGIN_MAGIC_COOKIE": "else"]) == .runByPerson)
    }

    @Test func withArgumentsAPersonRunsIt() {
        let cookie = ["NOMAD_PLUGIN_MAGIC_COOKIE": Self.cookie]
        #expect(PluginHandshake.decide(environment: cookie, hasArguments: true) == .runByPerson)
        #expect(PluginHandshake.decide(environment: cookie, hasArguments: false) != .runByPerson)
    }

    @Test func socketDirectoryComesFromTheEnvironment() {
        #expect(decide([:]) == .serve(socketDirectory: "/tmp", announcesMultiplexing: false))
        #expect(decide(["TMPDIR": "/t"]) == .serve(socketDirectory: "/t", announcesMultiplexing: false))
        #expect(
            decide(["TMPDIR": "/t", "PLUGIN_UNIX_SOCKET_DIR": "/s", "PLUGIN_MULTIPLEX_GRPC": "true"])
                == .serve(socketDirectory: "/s", announcesMultiplexing: true))
        #expect(decide(["TMPDIR": ""]) == .serve(socketDirectory: "/tmp", announcesMultiplexing: false))
        #expect(refusal(["TMPDIR": "relative"])?.contains("relative") == true)
        #expect(refusal(["TMPDIR": "/a|b"])?.contains("/a|b") == true)
        #expect(refusal(["TMPDIR": "/a\nb"]) != nil)
    }

    @Test func protocolVersionMustBeOffered() {
        #expect(refusal(["PLUGIN_PROTOCOL_VERSIONS": "2"]) == nil)
        #expect(refusal(["PLUGIN_PROTOCOL_VERSIONS": "1, 2,3"]) == nil)
        #expect(refusal(["PLUGIN_PROTOCOL_VERSIONS": "1,3"])?.contains("1,3") == true)
        #expect(refusal(["PLUGIN_PROTOCOL_VERSIONS": "22"]) != nil)
    }

    @Test func mutualTLSIsRefused() {
        #expect(refusal(["PLUGIN_CLIENT_CERT": "-----BEGIN"])?.contains("PLUGIN_CLIENT_CERT") == true)
    }

    @Test func lineHasSixFieldsOrSeven() {
        #expect(PluginHandshake.line(socket: "/t/s", announcesMultiplexing: false) == "1|2|unix|/t/s|grpc|\n")
        #expect(PluginHandshake.line(socket: "/t/s", announcesMultiplexing: true) == "1|2|unix|/t/s|grpc||false\n")
    }
}

@Suite struct SocketDirectoryTests {
    @Test func isPrivateFreshAndRemoved() throws {
        let first = try SocketDirectory(below: "/tmp")
        let second = try SocketDirectory(below: "/tmp")
        defer { second.remove() }
        #expect(first.path != second.path)
        #expect(first.socket.hasPrefix(first.path + "/"))
        var status = stat()
        #expect(stat(first.path, &status) == 0)
        #expect(status.st_mode == S_IFDIR | 0o700)
        #expect(status.st_uid == geteuid())
        first.remove()
        #expect(stat(first.path, &status) == -1 && errno == ENOENT)
    }

    @Test func unusableParentsAreNamed() throws {
        func reason(_ parent: String) -> String? {
            do throws(PluginError) {
                try SocketDirectory(below: parent).remove()
                return nil
            } catch {
                return error.description
            }
        }
        #expect(
            reason("/nonexistent/x") == "cannot use /nonexistent/x for the plugin's socket: No such file or directory")
        #expect(reason("/etc/passwd") == "cannot use /etc/passwd for the plugin's socket: it is not a directory")
        let base = try SocketDirectory(below: "/tmp")
        defer { base.remove() }
        let long = base.path + "/" + String(repeating: "x", count: 70)
        try #require(mkdir(long, 0o700) == 0)
        #expect(reason(long)?.contains("allows 107") == true)
        try #require(chmod(long, 0o777) == 0)
        #expect(reason(long)?.contains("sticky") == true)
        rmdir(long)
    }

    /// Who may rename a directory above the socket's can put another in its place.
    @Test func directoriesAboveCount() throws {
        let base = try SocketDirectory(below: "/tmp")
        defer { base.remove() }
        let (above, below) = (base.path + "/a", base.path + "/a/b")
        try #require(mkdir(above, 0o700) == 0 && mkdir(below, 0o700) == 0)
        defer {
            rmdir(below)
            rmdir(above)
        }
        func refusal() -> String? {
            do throws(PluginError) {
                try SocketDirectory(below: below).remove()
                return nil
            } catch {
                return error.description
            }
        }
        #expect(refusal() == nil)
        try #require(chmod(above, 0o757) == 0)
        #expect(refusal()?.contains("others may write to \(above)") == true)
        try #require(chmod(above, 0o1757) == 0)
        #expect(refusal() == nil)
        guard geteuid() == 0 else { return }
        try #require(chown(above, 4711, 0) == 0)
        #expect(refusal()?.contains("\(above) belongs to user 4711") == true)
    }
}
