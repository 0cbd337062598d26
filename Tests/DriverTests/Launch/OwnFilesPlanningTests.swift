import CMessages
import Messages
import Shared
import Testing

@testable import Planning

/// Files of the task's own in its root, and what is different for a command of `run`.
extension RootPlanningTests {
    private static let tmp = {
        var options = RootOptions()
        options.privateTmp = true
        return options
    }()

    @Test func privateTmpIsADirectoryOfTheTasks() throws {
        #expect(try specification(Self.request(Self.mounted)).root?.privateTmp == "")
        let own = try specification(Self.request(Self.mounted), options: Self.tmp)
        let root = try #require(own.root)
        #expect(root.privateTmp == "a-web/tmp" && root.directories.contains { $0.inside == root.privateTmp })
        #expect(own.unveil.contains { $0.rule.text == "rwxc:/tmp" && !$0.optional })
        // The template is the same for all tasks.
        #expect(try specification(Self.request(Self.mounted)).root?.template == root.template)
        #expect(try specification(Self.request(), options: Self.tmp).root?.privateTmp == "a/web/tmp")
        let bytes = own.encoded(session: 1, taskStateDirectory: "/s/t", stateDirectory: "/s", bootID: "b")
        let request = try DecodedMessage<Exec2__Executor__LaunchRequest>(bytes).root
        #expect(request.root?.private_tmp == "a-web/tmp")
    }

    @Test func noRuleShowsTheHostsTmpBesideAPrivateOne() throws {
        let rules = ["/tmp", "/tmp/", "//tmp/./x", "/tmp/../srv", "/tmpfiles", "/srv/tmp"].map {
            UnveilRule(modes: .read, path: $0)
        }
        let own = try specification(Self.request(Self.mounted), unveil: rules, options: Self.tmp) {
            $0.unveilPaths = [
                UnveilRule(modes: .read, path: "/tmp/of/operator"), UnveilRule(modes: .read, path: "/srv"),
            ]
        }
        #expect(own.root?.paths.filter { !$0.optional }.map(\.path) == ["/tmp/../srv", "/tmpfiles", "/srv/tmp"])
        func rule(_ path: String) -> LaunchSpecification.Unveil? { own.unveil.first { $0.rule.path == path } }
        #expect(rule("/tmp/x")?.beneath == "/tmp" && rule("/tmp/x")?.optional == false)
        #expect(rule("/tmp/of/operator")?.beneath == "/tmp" && rule("/tmp/of/operator")?.optional == true)
        #expect(rule("/srv")?.optional == false && rule("/srv")?.beneath == nil && rule("/tmpfiles")?.beneath == nil)
    }

    @Test func volumesBelowAPrivateTmpAreMadeInIt() throws {
        var request = Self.request(Self.mounted)
        request.volumes = ["/tmp/a/b", "/tmp", "/srv/c"].map { VolumeRequest(taskPath: $0, hostPath: "/v") }
        func destinations(_ options: RootOptions) throws -> [[String]] {
            try specification(request, options: options).mounts.compactMap(\.destination)
                .map { [$0.root, $0.inside, "\($0.isMade)"] }
        }
        let others = [["/", "srv/c", "false"], ["/", "tmp", "false"]]
        #expect(try destinations(Self.tmp) == others + [["/tmp", "a/b", "true"]])
        #expect(try destinations(RootOptions()) == others + [["/", "tmp/a/b", "false"]])
    }

    @Test func sharedMemoryIsAsLargeAsTheJobSays() throws {
        var options = RootOptions()
        #expect(try specification(Self.request()).root?.sharedMemoryBytes == 64 << 20)
        options.sharedMemoryBytes = 1 << 30
        #expect(try specification(Self.request(), options: options).root?.sharedMemoryBytes == 1 << 30)
        let without = try specification(Self.request(), options: options) { $0.unveilDefaults = false }
        #expect(without.root?.sharedMemoryBytes == 1 << 30 && without.unveil.map(\.rule.text) == ["rwc:/dev/shm"])
    }

    @Test func userFilesCanBeRead() throws {
        var options = RootOptions()
        options.userFiles = true
        let found = try specification(Self.request(), options: options) { $0.unveilDefaults = false }
        #expect(found.unveil.map(\.rule.text) == ["r:/etc/passwd", "r:/etc/group"])
        #expect(found.generatedFiles.map(\.path) == ["/etc/passwd", "/etc/group"])
        #expect(try specification(Self.request()).generatedFiles.isEmpty)
    }

    /// What is beside its directories is not a client's.
    @Test func aRunHidesOnlyWhatIsItsOwn() throws {
        var configuration = PluginConfiguration()
        configuration.stateDirectory = "/run/run-1"
        var planning = LaunchPlanning(
            configuration: configuration, megahertzPerCore: nil, host: HostAbilities(landlockABI: 7, capabilities: 0))
        planning.hidesOtherAllocations = false
        planning.rulesOfOptions = "option --unveil"
        let options = TaskOptions(
            command: .name("x"), arguments: [], unveil: [UnveilRule(modes: .read, path: "/srv")],
            oomScoreAdjustment: nil)
        let found = try planning.specification(
            for: Self.request(Self.mounted), options: options,
            user: TaskUser(name: "web", uid: 1, gid: 1, groups: [], home: "/"))
        let root = try #require(found.root)
        #expect(root.template.hidden == ["/data/alloc/a", "/mnt", "/run/run-1", "/run/nomad-driver-exec2"])
        #expect(root.paths.first?.origin == "option --unveil")
        #expect(found.unveil.first { $0.rule.path == "/srv" }?.origin == "option --unveil")
    }

    @Test func aTerminalNeedsDevices() throws {
        var configuration = PluginConfiguration()
        configuration.unveilDefaults = false
        var planning = LaunchPlanning(
            configuration: configuration, megahertzPerCore: nil, host: HostAbilities(landlockABI: 7, capabilities: 0))
        func root() throws -> RootSpecification? {
            let options = TaskOptions(command: .name("x"), arguments: [], unveil: [], oomScoreAdjustment: nil)
            let user = TaskUser(name: "web", uid: 1, gid: 1, groups: [], home: "/")
            return try planning.specification(for: Self.request(Self.mounted), options: options, user: user).root
        }
        let without = try #require(try root())
        #expect(!without.hasTerminals && without.template.paths.isEmpty && without.sharedMemoryBytes == 0)
        planning.hasTerminal = true
        let with = try #require(try root())
        #expect(with.hasTerminals && with.template.paths.contains { $0.path == "/dev/tty" })
    }

    @Test(arguments: ["/data/alloc/a/web/tmp/out", "/data/alloc/a/web/./tmp/deep/out", "/data/alloc/a//web/tmp"])
    func aLogInAPrivateTmpIsRefused(path: String) throws {
        var request = Self.request(Self.mounted)
        request.stderrPath = path
        #expect(throws: Never.self) { try specification(request) }
        let error = #expect(throws: StartError.self) { try specification(request, options: Self.tmp) }
        #expect(error?.text.contains(path) == true)
        request.stderrPath = "/data/alloc/a/web/tmpfiles/out"
        #expect(throws: Never.self) { try specification(request, options: Self.tmp) }
    }
}
