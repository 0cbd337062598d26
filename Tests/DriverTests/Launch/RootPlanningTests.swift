import CMessages
import Messages
import Shared
import Testing

@testable import Planning

@Suite struct RootPlanningTests {
    static func request(_ environment: [String: String] = [:]) -> TaskRequest {
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

    static let mounted = ["NOMAD_TASK_DIR": "/mnt/a-web/local"]

    func specification(
        _ request: TaskRequest, unveil: [UnveilRule] = [], uid: UInt32 = 1000, hidesOthers: Bool = true,
        clientMounts: [String] = [], options: RootOptions = RootOptions(),
        _ change: (inout PluginConfiguration) -> Void = { _ in }
    ) throws -> LaunchSpecification {
        var configuration = PluginConfiguration()
        change(&configuration)
        var host = HostAbilities(landlockABI: 7, capabilities: 0)
        host.cgroups = "/sys/fs/cgroup"
        var planning = LaunchPlanning(configuration: configuration, megahertzPerCore: nil, host: host)
        planning.hidesOtherAllocations = hidesOthers
        planning.clientMounts = clientMounts
        let options = TaskOptions(
            command: .path("/bin/true"), arguments: [], unveil: unveil, oomScoreAdjustment: nil, root: options)
        return try planning.specification(
            for: request, options: options,
            user: TaskUser(name: "web", uid: uid, gid: uid, groups: [], home: "/"))
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
        #expect(root.replacements.map(\.source) == ["web", "web/tmp", "alloc", "web/secrets", "alloc/logs"])
        #expect(root.replacements.allSatisfy { $0.sourceRoot == "/data/alloc/a" })
    }

    @Test func withoutTheClientsMountsItStandsInTheAllocation() throws {
        let root = try #require(try specification(Self.request()).root)
        #expect(root.parent == "/data/alloc")
        #expect(root.directories.first?.inside == "a/web")
        #expect(root.directories.last?.inside == "a/alloc/logs")
        #expect(root.replacements.isEmpty)
    }

    /// Whatever is unveiled above them: the Executor covers them by their file systems.
    @Test func whatNoTaskReachesIsHidden() throws {
        let root = try #require(try specification(Self.request(Self.mounted)).root)
        #expect(
            root.template.hidden == ["/data/alloc", "/mnt", "/run/nomad-driver-exec2", "/data/alloc_mounts"])
        let elsewhere = try #require(
            try specification(Self.request(Self.mounted)) { $0.stateDirectory = "/var/lib/state" }.root)
        #expect(elsewhere.template.hidden.contains("/var/lib/state"))
        #expect(elsewhere.template.hidden.contains(PluginSockets.parent))
    }

    /// A job that names another place for its own directories sees nothing of the others' by that.
    @Test(arguments: [[:], mounted, ["NOMAD_TASK_DIR": "/x"], ["NOMAD_TASK_DIR": "/elsewhere/a-web/local"]])
    func whatTheClientHasMountedIsHiddenWhateverTheJobSays(environment: [String: String]) throws {
        let root = try #require(
            try specification(Self.request(environment), clientMounts: ["/clients", "/mnt"]).root)
        #expect(Set(["/data/alloc", "/data/alloc_mounts", "/clients", "/mnt"]).isSubset(of: root.template.hidden))
        #expect(root.template.hidden.count == Set(root.template.hidden).count)
    }

    @Test(arguments: [("/data/alloc/a", "/data/alloc_mounts"), ("/alloc/a", "/alloc_mounts"), ("/a", "/alloc_mounts")])
    func theDefaultPlaceOfTheClientsMountsIsBesideTheAllocations(allocDir: String, place: String) throws {
        var request = Self.request()
        request.allocDir = allocDir
        #expect(try specification(request).root?.template.hidden.contains(place) == true)
        #expect(try specification(request, hidesOthers: false).root?.template.hidden.contains(place) == false)
    }

    @Test func theRootIsNeverHidden() throws {
        var request = Self.request()
        request.allocDir = "/a"
        let root = try #require(try specification(request, clientMounts: ["/", "/clients"]).root)
        #expect(!root.template.hidden.contains("/") && root.template.hidden.contains("/clients"))
    }

    @Test func onlyWhatHasTheClientsFormIsAClientsMount() {
        #expect(Self.request(Self.mounted).clientMount == TaskRequest.ClientMount(parent: "/mnt", alloc: "a-web/alloc"))
        for path in [nil, "/x", "/mnt/b-web/local", "/mnt/a-web", "mnt/a-web/local", "/mnt/../a-web/local"] {
            #expect(Self.request(path.map { ["NOMAD_TASK_DIR": $0] } ?? [:]).clientMount == nil, "\(path ?? "none")")
        }
    }

    /// What stands beside a command of `nomad-driver-exec2 run` is the user's.
    @Test func besideARunNothingElseIsHidden() throws {
        let root = try #require(try specification(Self.request(), hidesOthers: false).root)
        #expect(root.template.hidden.first == "/data/alloc/a")
    }

    @Test func aLogElsewhereInTheAllocationIsInAReadOnlyDirectoryToo() throws {
        var request = Self.request(Self.mounted)
        request.stdoutPath = "/data/alloc/a/web/out/x.fifo"
        request.stderrPath = "/data/alloc/a/alloc/deep/out/x.fifo"
        let root = try #require(try specification(request).root)
        #expect(
            root.directories.filter(\.isReadOnly).map(\.inside) == [
                "a-web/alloc/logs", "a-web/out", "a-web/alloc/deep/out",
            ])
        #expect(
            root.replacements.filter(\.isReadOnly).map(\.source) == ["alloc/logs", "web/out", "alloc/deep/out"])
    }

    @Test func aLogInADirectoryOfTheTasksOwnMakesNoneOfThoseReadOnly() throws {
        var request = Self.request()
        for path in ["/data/alloc/a/x", "/data/alloc/a/web/x", "/data/alloc/a/alloc/x", "/data/alloc/a/other/out/x"] {
            request.stdoutPath = path
            let root = try #require(try specification(request).root)
            #expect(root.directories.filter(\.isReadOnly).map(\.inside) == ["a/alloc/logs"], "\(path)")
        }
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

    @Test func ofTheHostsCgroupsTheTaskFindsItsOwn() throws {
        func own(
            _ cgroup: String, unveil: [String] = [], _ change: (inout PluginConfiguration) -> Void = { _ in }
        ) throws -> RootSpecification.OwnCgroup? {
            var request = Self.request(Self.mounted)
            request.cgroup = cgroup
            let rules = unveil.map { UnveilRule(modes: .read, path: $0) }
            return try specification(request, unveil: rules, change).root?.ownCgroup
        }
        let cgroup = "/sys/fs/cgroup/nomad.slice/share.slice/a.web.scope"
        let found = RootSpecification.OwnCgroup(
            mountPoint: "/sys/fs/cgroup", inside: "nomad.slice/share.slice/a.web.scope")
        #expect(try own(cgroup) == found)
        #expect(try own(cgroup, unveil: ["/sys/class", "/sys/fs/cgroups", "/srv"]) == found)
        // Nothing is in the way of what is directly below the mount point; the rest the template does not show.
        let others = [
            "/sys/fs/cgroup/a.scope", "/sys/fs/cgroup", "/cgroup2/nomad.slice/a.scope", cgroup + "/../b.scope",
        ]
        for path in others {
            #expect(try own(path) == nil, "\(path)")
        }
        #expect(try own(cgroup) { $0.unveilDefaults = false } == nil)
        // A program that watches other tasks is to find them.
        for path in ["/", "/sys", "/sys/./fs/", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice"] {
            #expect(try own(cgroup, unveil: [path]) == nil, "\(path)")
            #expect(
                try own(cgroup) { $0.unveilPaths = [UnveilRule(modes: .read, path: path)] } == nil, "\(path)")
        }
    }

    @Test func ofAJobsRulesThoseInTheTaskNeedNoMount() throws {
        let rules = [
            UnveilRule(modes: .read, path: "/srv/x"), UnveilRule(modes: .read, path: "/mnt/a-web/local/y"),
            UnveilRule(modes: .all, path: "/mnt/a-web/alloc/z"),
        ]
        let root = try #require(try specification(Self.request(Self.mounted), unveil: rules).root)
        #expect(root.paths.first?.path == "/srv/x" && root.paths.first?.origin == "task option unveil")
        // Those of the template again, which a rule for what is above them would hide.
        #expect(root.paths.dropFirst().elementsEqual(root.template.paths) { $0.path == $1.path && $0.optional })
        #expect(try specification(Self.request(Self.mounted)).root?.paths.isEmpty == true)
    }

    @Test func aJobsRuleBelowAVolumeIsForTheVolume() throws {
        var request = Self.request(Self.mounted)
        request.volumes = [VolumeRequest(taskPath: "/srv/data", hostPath: "/volumes/x")]
        let rules = ["/srv/data", "/srv/data/file", "/srv/database", "/srv"].map { UnveilRule(modes: .read, path: $0) }
        let specification = try specification(request, unveil: rules)
        let ofJob = specification.root?.paths.filter { $0.origin == "task option unveil" }
        #expect(ofJob?.map(\.path) == ["/srv/database", "/srv"])
        #expect(specification.unveil.filter(\.afterMounts).map(\.rule.path).starts(with: rules.map(\.path)))
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

    @Test(arguments: [
        ([], false), (["rwxc:/"], false), (["rw:/proc"], false), (["rw:/proc/"], false), (["r:/proc/sys"], false),
        (["rw:/proc/sys/net"], true), (["w:/proc/self"], true), (["w:/proc/../etc"], false),
    ])
    func procIsReadOnlyToRootUnlessARuleNamesAPartOfIt(rules: [String], opened: Bool) throws {
        let rules = try rules.map { try UnveilRule(parsing: $0) }
        #expect(
            try specification(Self.request(), uid: 0) { $0.unveilPaths = rules }.root?.hasReadOnlyProc == !opened)
        #expect(try specification(Self.request()) { $0.unveilPaths = rules }.root?.hasReadOnlyProc == false)
    }

    /// The host's whole root is shown without its devices.
    @Test(arguments: [["r:/"], ["r:/srv"]])
    func aWholeRootHasDevices(rules: [String]) throws {
        let rules = try rules.map { try UnveilRule(parsing: $0) }
        let root = try #require(
            try specification(Self.request(), unveil: rules) { $0.unveilDefaults = false }.root)
        #expect(root.hasTerminals == (rules[0].path == "/"))
        #expect(root.template.paths.contains { $0.path == "/dev/null" } == (rules[0].path == "/"))
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
