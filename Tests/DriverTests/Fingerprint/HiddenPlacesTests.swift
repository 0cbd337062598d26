import Glibc
import Shared
import Testing

@testable import Host
@testable import Planning
@testable import Supervision

@Suite struct HiddenPlacesTests {
    private let place: TemporaryDirectory
    private let hidden: String

    init() throws {
        place = try TemporaryDirectory()
        hidden = place.path + "/with space"
        for path in [hidden, hidden + "/a", place.path + "/with space and more"] {
            try #require(mkdir(path, 0o700) == 0)
        }
        try #require(symlink("with space/a", place.path + "/link") == 0)
    }

    private func remove() {
        unlink(place.path + "/link")
        for path in [hidden + "/a", hidden, place.path + "/with space and more"] { rmdir(path) }
    }

    @Test func whatLeadsIntoADirectoryIsKnownByWhereItReallyIs() {
        defer { remove() }
        let places = HiddenPlaces(["/nonexistent", hidden])
        for path in [hidden, hidden + "/", hidden + "/a", place.path + "/link", hidden + "/../link/."] {
            #expect(places.directory(atOrAbove: path) == hidden, "\(path)")
        }
        for path in [place.path, place.path + "/with space and more", hidden + "/missing", "/", hidden + "/.."] {
            #expect(places.directory(atOrAbove: path) == nil, "\(path)")
        }
        #expect(HiddenPlaces([]).directory(atOrAbove: hidden) == nil)
    }

    @Test func theDriverIsUnhealthyAndNamesTheRuleAndTheDirectory() {
        defer { remove() }
        var configuration = PluginConfiguration()
        configuration.unveilPaths = [
            UnveilRule(modes: .read, path: place.path),
            UnveilRule(modes: .read, path: place.path + "/link", isOptional: true),
        ]
        var examined: [String] = []
        let texts = ConfigurationObstacles.onHost(configuration, clientDirectories: [hidden]) {
            examined.append($0.path)
        }
        #expect(
            texts == [
                "cannot unveil \(place.path)/link: it leads into \(hidden), which no task reaches, since the client's "
                    + "allocations and the driver's state are not for tasks; leave the rule out; it is named by the plugin "
                    + "option unveil_paths: \"r?:\(place.path)/link\""
            ])
        // Each before it is opened, since its file system may hang.
        #expect(examined.contains(hidden) && examined.contains(place.path + "/link"))
        #expect(ConfigurationObstacles.onHost(configuration) { _ in }.isEmpty)
    }

    @Test func theClientsDirectoriesAreThoseOfItsRequests() {
        let mounts = ClientMounts()
        #expect(mounts.directories == [])
        for path in ["/opt/nomad/alloc/1", "/opt/nomad/alloc/2", "relative/x", "/top", ""] {
            mounts.note(allocDir: path)
        }
        #expect(mounts.directories == ["/opt/nomad/alloc", "/opt/nomad/alloc_mounts"])
        #expect(LaunchPlanning.directories(ofClient: "/alloc") == ["/alloc", "/alloc_mounts"])
    }
}
