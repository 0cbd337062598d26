import CMessages
import Messages
import Shared
import Testing

@testable import Planning

@Suite struct RootPlanningTests {
    private static func request(_ environment: [String: String] = [:]) -> TaskRequest {
        var request = TaskRequest()
        request.id = "a/web/1"
        request.name = "web"
        request.allocID = "a"
        request.allocDir = "/data/alloc/a"
        request.cgroup = "/sys/fs/cgroup/x.scope"
        request.environment = environment
        request.stdoutPath = "/dev/null"
        request.stderrPath = "/dev/null"
        return request
    }

    private static let mounted = ["NOMAD_TASK_DIR": "/mnt/a-web/local"]

    private func specification(
        _ request: TaskRequest, unveil: [UnveilRule] = [], uid: UInt32 = 1000,
        _ change: (inout PluginConfiguration) -> Void = { _ in }
    ) throws -> LaunchSpecification {
        var configuration = PluginConfiguration()
        configuration.ownRoot = true
        change(&configuration)
        var host = HostAbilities(landlockABI: 7, capabilities: 0)
        host.cgroups = "/sys/fs/cgroup"
        let planning = LaunchPlanning(configuration: configuration, megahertzPerCore: nil, host: host)
        let options = TaskOptions(command: .path("/bin/true"), arguments: [], unveil: unveil, oomScoreAdjustment: nil)
        return try planning.specification(
            for: request, options: options,
            user: TaskUser(name: "web", uid: uid, gid: uid, groups: [], home: "/"))
    }

    @Test func withoutTheOptionTheTaskHasTheHostsRoot() throws {
        let specification = try specification(Self.request()) { $0.ownRoot = false }
        #expect(specification.root == nil)
        #expect(!specification.unveil.contains { $0.rule.path == "/proc" })
    }

    @Test func theTaskStandsWhereTheEnvironmentNamesIt() throws {
        let root = try #require(try specification(Self.request(Self.mounted)).root)
        #expect(root.parent == "/mnt")
        #expect(
            root.directories.map(\.inside) == [
                "a-web", "a-web/local", "a-web/secrets", "a-web/tmp", "a-web/alloc", "a-web/alloc/logs",
            ])
        #expect(root.directories.map(\.isReadOnly) == [false, false, false, false, false, true])
        #expect(root.directories.map(\.onlyMounts) == [false, true, true, true, true, false])
        // After a reboot, from where the client's mounts came.
        #expect(root.replacements.map(\.source) == ["web", "alloc", "web/secrets", "alloc/logs"])
        #expect(root.replacements.allSatisfy { $0.sourceRoot == "/data/alloc/a" })
    }

    @Test func withoutTheClientsMountsItStandsInTheAllocation() throws {
        let root = try #require(try specification(Self.request()).root)
        #expect(root.parent == "/data/alloc")
        #expect(root.directories.first?.inside == "a/web")
        #expect(root.directories.last?.inside == "a/alloc/logs")
        #expect(root.replacements.isEmpty)
    }

    @Test func whatNoTaskReachesIsHidden() throws {
        let root = try #require(try specification(Self.request(Self.mounted)).root)
        #expect(root.hidden == ["/data/alloc", "/run/nomad-driver-exec2"])
        // In the template only where something above it is unveiled.
        #expect(root.template.directories == ["/mnt", "/dev/pts", "/dev/shm"])
        let wide = try #require(
            try specification(Self.request(Self.mounted)) { $0.unveilPaths = [UnveilRule(modes: .read, path: "/data")] }
                .root)
        #expect(wide.template.directories == ["/mnt", "/data/alloc", "/dev/pts", "/dev/shm"])
        let all = try #require(
            try specification(Self.request(Self.mounted)) { $0.unveilPaths = [UnveilRule(modes: .read, path: "/")] }
                .root)
        #expect(all.template.directories.contains("/run/nomad-driver-exec2"))
    }

    @Test func mountsCanBeWrittenOnlyWhereARuleSaysSo() throws {
        let root = try #require(
            try specification(Self.request(Self.mounted)) {
                $0.unveilPaths = [
                    UnveilRule(modes: [.read, .execute], path: "/srv/a"), UnveilRule(modes: .write, path: "/srv/b"),
                    UnveilRule(modes: .create, path: "/srv/c"),
                ]
            }.root)
        func path(_ path: String) -> TemplateSpecification.Path? { root.template.paths.first { $0.path == path } }
        #expect([path("/srv/a")?.writable, path("/srv/b")?.writable, path("/srv/c")?.writable] == [false, true, true])
        #expect(path("/srv/a")?.optional == false && path("/srv/a")?.origin == "plugin option unveil_paths")
        #expect(path("/usr/bin")?.optional == true && path("/usr/bin")?.writable == false)
        #expect(path("/tmp")?.writable == true && path("/sys/fs/cgroup")?.writable == false)
        // A task's own /proc is another.
        #expect(!root.template.paths.contains { $0.path.hasPrefix("/proc") || $0.path == "/dev/stdout" })
    }

    @Test func ofAJobsRulesThoseInTheTaskNeedNoMount() throws {
        let rules = [
            UnveilRule(modes: .read, path: "/srv/x"), UnveilRule(modes: .read, path: "/mnt/a-web/local/y"),
            UnveilRule(modes: .all, path: "/mnt/a-web/alloc/z"),
        ]
        let root = try #require(try specification(Self.request(Self.mounted), unveil: rules).root)
        #expect(root.paths.map(\.path) == ["/srv/x"])
        #expect(root.paths.first?.origin == "task option unveil")
    }

    /// A service such as systemd-resolved replaces the file by a rename: a rule for the file would hold for the old
    /// one.
    @Test func aServicesResolvConfIsSeenByItsDirectory() {
        #expect(
            HostAbilities.resolverDirectory(ofResolved: "/run/systemd/resolve/stub-resolv.conf")
                == "/run/systemd/resolve")
        #expect(HostAbilities.resolverDirectory(ofResolved: "/run/resolv.conf") == nil)
        #expect(HostAbilities.resolverDirectory(ofResolved: "/etc/resolv.conf") == nil)
        #expect(HostAbilities.resolverDirectory(ofResolved: "/etc/resolvconf/run/resolv.conf") == nil)
        #expect(HostAbilities.resolverDirectory(ofResolved: nil) == nil)
    }

    @Test func withoutDefaultsThereIsNothingButTheTask() throws {
        let specification = try specification(Self.request(Self.mounted)) { $0.unveilDefaults = false }
        let root = try #require(specification.root)
        #expect(root.template.paths.isEmpty && root.template.symlinks.isEmpty)
        #expect(root.sharedMemoryBytes == 0 && !root.hasTerminals)
        #expect(specification.unveil.isEmpty)
    }

    @Test func onlyRootsProcIsReadOnly() throws {
        #expect(try specification(Self.request()).root?.hasReadOnlyProc == false)
        #expect(try specification(Self.request(), uid: 0).root?.hasReadOnlyProc == true)
        let opened = try specification(Self.request(), uid: 0) {
            $0.unveilPaths = [UnveilRule(modes: .write, path: "/proc/sys/vm/x")]
        }
        #expect(opened.root?.hasReadOnlyProc == false)
    }

    @Test func anOlderExecutorRefusesTheRequest() throws {
        let specification = try specification(Self.request(Self.mounted))
        let bytes = specification.encoded(session: 1, taskStateDirectory: "/s/t", stateDirectory: "/s", bootID: "b")
        let request = try DecodedMessage<Exec2__Executor__LaunchRequest>(bytes).root
        #expect(request.protocol == LaunchVersion.ownRoot)
        #expect(request.root != nil)
        let template = try #require(specification.root?.template)
        let made = try DecodedMessage<Exec2__Executor__LaunchRequest>(template.encoded).root
        #expect(made.root_template != nil && made.protocol == LaunchVersion.ownRoot)
    }

    @Test func templatesAreEqualWhereTheyShowTheSame() throws {
        let one = try specification(Self.request(Self.mounted)).root?.template
        #expect(
            try specification(Self.request(Self.mounted), unveil: [UnveilRule(modes: .all, path: "/x")]).root?.template
                == one)
        #expect(try specification(Self.request()).root?.template != one)
    }
}
