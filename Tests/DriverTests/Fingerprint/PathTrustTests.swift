import Glibc
import Shared
import Testing

@testable import Host
@testable import Planning

@Suite struct PathTrustTests {
    private static let tree: [String: PathTrust.Entry] = [
        "/": .directory(owner: 0, mode: 0o755),
        "/run": .directory(owner: 0, mode: 0o755),
        "/run/link": .symlink(owner: 0, target: "../opt/good"),
        "/run/absolute": .symlink(owner: 0, target: "/opt/open"),
        "/run/tmp": .symlink(owner: 0, target: "/tmp/mine"),
        "/run/loop": .symlink(owner: 0, target: "loop"),
        "/run/hidden": .unreadable(.permissionDenied),
        "/opt": .directory(owner: 0, mode: 0o755),
        "/opt/good": .directory(owner: 0, mode: 0o700),
        "/opt/good/program": .other(owner: 0, mode: 0o755),
        "/opt/good/theirs": .other(owner: 1000, mode: 0o755),
        "/opt/good/open": .other(owner: 0, mode: 0o775),
        "/opt/open": .directory(owner: 0, mode: 0o777),
        "/opt/group": .directory(owner: 0, mode: 0o2775),
        "/opt/group/program": .other(owner: 0, mode: 0o755),
        "/home": .directory(owner: 0, mode: 0o755),
        "/home/anna": .directory(owner: 1000, mode: 0o755),
        "/tmp": .directory(owner: 0, mode: 0o1777),
        "/tmp/mine": .directory(owner: 0, mode: 0o755),
        "/tmp/theirs": .directory(owner: 1000, mode: 0o755),
        "/tmp/link": .symlink(owner: 1000, target: "/opt/good"),
    ]

    private func trust(_ path: String, last: Bool = false, owner: uid_t = 0) -> PathTrust {
        PathTrust.of(path, last: last, owner: owner) { Self.tree[$0] ?? .missing }
    }

    @Test(arguments: [
        ("/run/state", false), ("/run/none/below/state", false), ("/state", false), ("/", false),
        ("/run/./state/", false),
        ("/opt/good/x", false), ("/run/link/x", false), ("/tmp/state", true), ("/tmp/mine/state", false),
        ("/run/tmp/state", false), ("/tmp/mine/../state", true), ("/tmp/../run/state", false),
        ("/run/../tmp/state", true),
        ("/opt/open", false), ("/home/anna", false),
    ])
    func whatRootAloneCanReplace(path: String, isShared: Bool) {
        #expect(trust(path) == .trusted(isShared: isShared))
    }

    @Test(
        arguments: [
            ("/opt/open/state", .writable("/opt/open", true)), ("/opt/open/none/state", .writable("/opt/open", true)),
            ("/opt/group/state", .writable("/opt/group", true)), ("/run/absolute/state", .writable("/opt/open", true)),
            ("/home/anna/state", .owned("/home/anna", 1000)), ("/tmp/theirs/state", .owned("/tmp/theirs", 1000)),
            ("/tmp/link/state", .owned("/tmp/link", 1000)), ("/opt/open/../good/state", .writable("/opt/open", true)),
            ("/run/loop/state", .unreadable("/run/loop", .tooManySymlinks)),
            ("/run/hidden/state", .unreadable("/run/hidden", .permissionDenied)),
            ("/opt/good/program/state", .unreadable("/opt/good/program", .notDirectory)),
        ] as [(String, PathFault)])
    func whatOthersCanReplace(path: String, fault: PathFault) {
        #expect(trust(path) == .untrusted(fault))
    }

    @Test func theLastPartCountsWhereItIsAskedFor() {
        #expect(trust("/opt/good/program", last: true) == .trusted(isShared: false))
        #expect(trust("/opt/good/theirs", last: true) == .untrusted(.owned("/opt/good/theirs", 1000)))
        #expect(trust("/opt/good/open", last: true) == .untrusted(.writable("/opt/good/open", false)))
        #expect(trust("/opt/group/program", last: true) == .untrusted(.writable("/opt/group", true)))
        #expect(trust("/run/link", last: true) == .trusted(isShared: false))
        #expect(trust("/run/absolute", last: true) == .untrusted(.writable("/opt/open", true)))
        #expect(trust("/home/anna", last: true) == .untrusted(.owned("/home/anna", 1000)))
    }

    /// The driver's own user is as good as root: it is what the driver runs as.
    @Test func theDriversOwnUserIsTrusted() {
        #expect(trust("/home/anna/state", owner: 1000) == .trusted(isShared: false))
        #expect(trust("/home/anna/state", owner: 1001) == .untrusted(.owned("/home/anna", 1000)))
    }

    @Test func faultsHaveTextsAndRemedies() {
        #expect(
            PathFault.owned("/x", 7).text == "/x belongs to user 7, who could replace it or what is in it")
        #expect(
            PathFault.owned("/x", 7).remedy("set the plugin option executor_path")
                == "give it to root (chown root /x), or set the plugin option executor_path to a path that root alone can "
                + "write to")
        #expect(PathFault.writable("/x", false).text == "others may write to /x")
        #expect(PathFault.writable("/x", false).remedy("set --state-dir") == "take away that right (chmod go-w /x)")
        #expect(PathFault.unreadable("/x", .permissionDenied).text == "cannot examine /x: Permission denied")
    }

    @Test func thisHostsOwnDirectories() {
        #expect(PathTrust.look("/") != .missing)
        guard case .symlink(_, let target) = PathTrust.look("/proc/self") else {
            Issue.record("not a symlink")
            return
        }
        #expect(target == "\(getpid())")
        #expect(PathTrust.look("/does/not/exist") == .missing)
        #expect(PathTrust.look("/dev/null/x") == .unreadable(.notDirectory))
    }

    /// Seen before: the target was another path, which did not exist, and so the way to it was trusted.
    @Test func aSymlinksTargetNeedNotBeUTF8() throws {
        let directory = try TemporaryDirectory()
        let target = directory.path + "/" + ByteText.text([0x61, 0xE9])
        #expect(ByteText.withPath(target) { mkdir($0, 0o777) } == 0)
        #expect(ByteText.withPath(target) { chmod($0, 0o777) } == 0)
        #expect(ByteText.withPath(target) { symlink($0, directory.path + "/link") } == 0)
        #expect(PathTrust.look(directory.path + "/link") == .symlink(owner: geteuid(), target: target))
        guard case .untrusted(.writable(target, true)) = PathTrust.of(directory.path + "/link/state", last: false)
        else {
            Issue.record("\(PathTrust.of(directory.path + "/link/state", last: false))")
            return
        }
    }
}
