import Glibc
import HCLog
import Testing

@testable import NomadPlugin
@testable import Planning

@Suite struct PluginHandshakeTests {
    private static let cookie = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"

    private func decide(_ variables: [String: String], user: uid_t = 0) -> PluginHandshake {
        let cookie = ["NOMAD_PLUGIN_MAGIC_COOKIE": Self.cookie]
        return .decide(environment: cookie.merging(variables) { $1 }, user: user)
    }

    private func refusal(_ variables: [String: String], user: uid_t = 0) -> String? {
        if case .refuse(let reason) = decide(variables, user: user) { reason } else { nil }
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

    @Test func socketDirectoryIsTheHostsUnlessTheEnvironmentNamesOne() {
        let named = SocketPlace.named("/s", variable: "PLUGIN_UNIX_SOCKET_DIR")
        #expect(decide([:]) == .serve(socketPlace: .ofHost, announcesMultiplexing: false))
        #expect(decide(["TMPDIR": "/t"]) == .serve(socketPlace: .ofHost, announcesMultiplexing: false))
        #expect(decide(["TMPDIR": "relative"]) == .serve(socketPlace: .ofHost, announcesMultiplexing: false))
        #expect(decide(["PLUGIN_UNIX_SOCKET_DIR": ""]) == .serve(socketPlace: .ofHost, announcesMultiplexing: false))
        for user: uid_t in [0, 33] {
            #expect(
                decide(
                    ["TMPDIR": "/t", "PLUGIN_UNIX_SOCKET_DIR": "/s", "PLUGIN_MULTIPLEX_GRPC": "true"], user: user)
                    == .serve(socketPlace: named, announcesMultiplexing: true))
        }
        for path in ["relative", "/a|b", "/a\nb", "/a\rb"] {
            let reason = refusal(["PLUGIN_UNIX_SOCKET_DIR": path])
            #expect(reason?.contains("\(path) (from PLUGIN_UNIX_SOCKET_DIR)") == true)
        }
    }

    /// It cannot write to /run.
    @Test func anotherUsersSocketIsInItsTemporaryDirectory() throws {
        #expect(decide([:], user: 33) == .serve(socketPlace: .ofOtherUser, announcesMultiplexing: false))
        #expect(decide(["TMPDIR": ""], user: 33) == .serve(socketPlace: .ofOtherUser, announcesMultiplexing: false))
        #expect(
            decide(["TMPDIR": "/t"], user: 33)
                == .serve(socketPlace: .named("/t", variable: "TMPDIR"), announcesMultiplexing: false))
        #expect(refusal(["TMPDIR": "relative"], user: 33)?.contains("relative (from TMPDIR)") == true)
        #expect(try SocketPlace.ofOtherUser.prepare(log: Logger(name: "test")) == "/tmp")
    }

    @Test func everyPlaceOfASocketIsSwept() {
        #expect(SocketSweep.places(environment: [:]) == [PluginSockets.path, "/tmp"])
        #expect(
            SocketSweep.places(environment: ["PLUGIN_UNIX_SOCKET_DIR": "/s", "TMPDIR": "/t"])
                == ["/s", PluginSockets.path, "/t", "/tmp"])
        #expect(SocketSweep.places(environment: ["TMPDIR": "relative"]) == [PluginSockets.path, "/tmp"])
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

@Suite struct SocketPlaceTests {
    private func prepare(_ parent: String) -> String? {
        do throws(PluginError) {
            try SocketPlace.prepare(parent: parent, log: Logger(name: "test"))
            return nil
        } catch {
            return error.description
        }
    }

    private func facts(_ path: String) -> stat? {
        var facts = stat()
        return lstat(path, &facts) == 0 ? facts : nil
    }

    @Test func theDefaultIsShortEnough() {
        let name = SocketDirectory.namePrefix + String(repeating: "X", count: SocketDirectory.randomLength)
        let socket = "\(PluginSockets.path)/\(name)/\(SocketDirectory.socketName)"
        #expect(socket.utf8.count <= SocketDirectory.longestSocketPath)
    }

    @Test func isMadeOncePrivateAndTakenBack() throws {
        let base = try SocketDirectory(below: "/tmp")
        defer { base.remove() }
        let parent = base.path + "/driver"
        let sockets = parent + "/" + PluginSockets.name
        defer {
            rmdir(sockets)
            rmdir(parent)
        }
        for _ in 0..<2 {
            #expect(prepare(parent) == nil)
            for path in [parent, sockets] { #expect(facts(path)?.st_mode == S_IFDIR | 0o700) }
        }
        let kept = try #require(facts(sockets)).st_ino
        try #require(chmod(sockets, 0o755) == 0 && chmod(parent, 0o777) == 0)
        #expect(prepare(parent) == nil)
        #expect(facts(parent)?.st_mode == S_IFDIR | 0o700 && facts(sockets)?.st_mode == S_IFDIR | 0o700)
        guard geteuid() == 0 else { return }
        // A task of root's with a view of the host could do that to earlier releases.
        try #require(chown(parent, 4711, 4711) == 0 && chown(sockets, 4711, 4711) == 0)
        #expect(prepare(parent) == nil)
        #expect(facts(parent)?.st_uid == 0 && facts(sockets)?.st_uid == 0 && facts(sockets)?.st_ino == kept)
    }

    @Test func reasonsNameThePathAndTheRemedy() throws {
        let base = try SocketDirectory(below: "/tmp")
        defer { base.remove() }
        let run = base.path + "/run"
        let parent = run + "/driver"
        let remedy = "point PLUGIN_UNIX_SOCKET_DIR to another directory"
        #expect(prepare("/dev/null/driver")?.contains("/dev/null") == true)
        #expect(prepare("/dev/null/driver")?.contains("point PLUGIN_UNIX_SOCKET_DIR") == true)
        // Nobody makes a directory in /proc.
        #expect(
            prepare("/proc/driver-of-tests")
                == "cannot make the directory of plugins' sockets /proc/driver-of-tests: No such file or directory; "
                + remedy)
        #expect(
            prepare("/proc/missing/driver")
                == "cannot make, for the directory of plugins' sockets, the directory /proc/missing: No such file or "
                + "directory; \(remedy)")
        try #require(mkdir(run, 0o700) == 0)
        defer { rmdir(run) }
        try #require(symlink("/tmp", parent) == 0)
        #expect(
            prepare(parent) == "cannot use the directory of plugins' sockets \(parent): Not a directory; \(remedy)")
        unlink(parent)
        try #require(chmod(run, 0o777) == 0)
        #expect(
            prepare(parent)
                == "cannot use the directory of plugins' sockets \(parent): others may write to \(run), so they could "
                + "replace what is in it; take away that right (chmod go-w \(run)), or point PLUGIN_UNIX_SOCKET_DIR to a "
                + "path that root alone can write to")
        #expect(facts(parent) == nil)
        guard geteuid() == 0 else { return }
        try #require(chmod(run, 0o755) == 0 && chown(run, 4711, 0) == 0)
        #expect(prepare(parent)?.contains("\(run) belongs to user 4711") == true)
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
