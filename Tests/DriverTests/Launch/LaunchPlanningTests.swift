import CMessages
import Shared
import Testing

@testable import MessagePack
@testable import Messages
@testable import Planning

@Suite struct LaunchPlanningTests {
    private static let alloc = "5d8f1c2a"
    private static let directory = "/mnt/5d8f1c2a-web"
    private static let dynamic = TaskUser(
        name: "nomad-80000", uid: 80000, gid: 80000, groups: [], home: "/nonexistent")
    private static let host = HostAbilities(landlockABI: 7, capabilities: .max)
    private static let root = TaskUser(name: "root", uid: 0, gid: 0, groups: [0], home: "/root")

    private func request(_ options: MessagePackValue = ["command": "env"]) -> TaskRequest {
        var request = TaskRequest()
        request.id = "\(Self.alloc)/web/1"
        request.name = "web"
        request.allocID = Self.alloc
        request.driverConfig = options.encoded
        request.allocDir = "/alloc/\(Self.alloc)"
        request.environment = ["NOMAD_TASK_DIR": Self.directory + "/local", "PATH": "/usr/bin:/bin"]
        request.stdoutPath = "/alloc/\(Self.alloc)/alloc/logs/.web.stdout.fifo"
        request.stderrPath = "/alloc/\(Self.alloc)/alloc/logs/.web.stderr.fifo"
        request.cgroup = "/sys/fs/cgroup/nomad.slice/share.slice/\(Self.alloc).web.scope"
        return request
    }

    private func plan(
        _ request: TaskRequest, _ configuration: PluginConfiguration = PluginConfiguration(),
        user: TaskUser = dynamic, agentHome: String? = nil
    ) throws(StartError) -> LaunchSpecification {
        var planning = LaunchPlanning(configuration: configuration, megahertzPerCore: 2000, host: Self.host)
        planning.agentHome = agentHome
        return try planning.specification(for: request, user: user)
    }

    private func refusal(_ request: TaskRequest, _ configuration: PluginConfiguration = PluginConfiguration())
        -> String
    {
        do throws(StartError) {
            _ = try plan(request, configuration)
            Issue.record("the request was accepted")
            return ""
        } catch {
            #expect(error.kind == .permanent)
            return error.text
        }
    }

    // MARK: What runs

    @Test func aBareCommandIsTriedInEveryDirectoryOfPath() throws {
        var request = request(["command": "env", "args": ["-i", ""]])
        request.environment["PATH"] = "/usr/bin:bin:./x::/opt/a b:/bin"
        let result = try plan(request)
        #expect(result.programs == ["/usr/bin/env", "/opt/a b/env", "/bin/env"])
        #expect(result.arguments == ["env", "-i", ""])
    }

    @Test(arguments: [nil, ""])
    func withoutPathTheUsualDirectoriesAreSearched(path: String?) throws {
        var request = request()
        request.environment["PATH"] = path
        #expect(
            try plan(request).programs == [
                "/usr/local/sbin/env", "/usr/local/bin/env", "/usr/sbin/env", "/usr/bin/env", "/sbin/env",
                "/bin/env",
            ])
    }

    @Test func aPathIsTheOnlyProgram() throws {
        let result = try plan(request(["command": "/opt/server"]))
        #expect(result.programs == ["/opt/server"])
        #expect(result.arguments == ["/opt/server"])
        #expect(result.workDir == .init(root: "", path: Self.directory))
    }

    @Test(arguments: [
        ("local", directory, "local"), (directory + "/local/../tmp", directory, "local/../tmp"), ("/srv", "", "/srv"),
        (directory, "", directory), (directory + "-other", "", directory + "-other"), ("../x", directory, "../x"),
    ])
    func aWorkDirInTheTasksDirectoryMustStayThere(option: String, root: String, path: String) throws {
        let result = try plan(request(["command": "env", "work_dir": .string(Array(option.utf8))]))
        #expect(result.workDir == .init(root: root, path: path))
    }

    @Test func onlyTheJobsRulesAreOpenedWhenTheVolumesAreThere() throws {
        var configuration = PluginConfiguration()
        configuration.unveilByTask = true
        configuration.unveilPaths = [UnveilRule(modes: .read, path: "/srv")]
        let rules = try plan(request(["command": "env", "unveil": ["r:/data"]]), configuration).unveil
        #expect(rules.filter(\.afterMounts).map(\.rule.text) == ["r:/data"])
    }

    @Test(
        arguments: [
            ("r:data", directory), ("r:local/a/b", directory), ("r:../x", directory),
            ("r:" + directory + "/local/x", directory),
            ("r:" + directory + "/../x", directory), ("r:" + directory, nil), ("r:" + directory + "-other/x", nil),
            ("r:/data", nil), ("r:/", nil),
            ("r:" + directory + "/alloc/data", directory),
        ] as [(String, String?)])
    func aRuleInTheTasksDirectoryMustStayThere(rule: String, beneath: String?) throws {
        var configuration = PluginConfiguration()
        configuration.unveilByTask = true
        let request = request(["command": "env", "unveil": [.string(Array(rule.utf8))]])
        #expect(try plan(request, configuration).unveil.last?.beneath == beneath)
        #expect(try plan(request, configuration).unveil.dropLast().allSatisfy { $0.beneath == nil })
    }

    // MARK: Mounts

    @Test func volumesDevicesAndFilesAreInThePlan() throws {
        var request = request()
        request.volumes = [VolumeRequest(taskPath: "local/data", hostPath: "/srv/data", readOnly: true)]
        request.devices = [DeviceRequest(taskPath: "/dev/kvm", hostPath: "/dev/kvm")]
        request.dns = DNSRequest(servers: ["10.0.0.53"])
        request.hosts = HostsRequest(hostname: "web", address: "10.0.0.2")
        let result = try plan(request)
        #expect(result.mounts.map(\.source) == ["/dev/kvm", "/srv/data"])
        #expect(result.generatedFiles.map(\.path) == ["/etc/resolv.conf", "/etc/hosts"])
    }

    // MARK: Environment

    @Test func theEnvironmentIsTheTasksAndSaysWhoItIs() throws {
        var request = request()
        request.environment.merge(
            [
                "USER": "root", "TMPDIR": "/etc", "FOO": "", "LD_PRELOAD": "x.so",
                "A": "b=c\nd",
            ], uniquingKeysWith: { $1 })
        #expect(
            try plan(request).environment == [
                "A=b=c\nd", "FOO=", "HOME=/nonexistent", "LD_PRELOAD=x.so",
                "NOMAD_TASK_DIR=\(Self.directory)/local",
                "PATH=/usr/bin:/bin", "TMPDIR=\(Self.directory)/tmp", "USER=nomad-80000",
            ])
    }

    /// The client passes its own HOME on to tasks, which is no word of the job's.
    @Test(
        arguments: [
            ("/root", "/root", "/nonexistent"), ("/srv/home", "/root", "/srv/home"), ("/root", nil, "/root"),
            ("", "/root", ""), (nil, "/root", "/nonexistent"), (nil, nil, "/nonexistent"),
        ] as [(String?, String?, String)])
    func theHomeOfTheJobCounts(given: String?, agents: String?, home: String) throws {
        var request = request(["command": "env", "user_files": true])
        request.environment["HOME"] = given
        let plan = try plan(request, agentHome: agents)
        #expect(plan.environment.filter { $0.hasPrefix("HOME=") } == ["HOME=" + home])
        let account = try #require(plan.generatedFiles.first?.text.split(separator: "\n").last)
        #expect(account.hasSuffix(":\(home):/bin/sh"))
    }

    @Test(arguments: ["", "A=B", "=", "HOME=\u{301}"])
    func variablesWithoutAUsableNameAreRefused(name: String) {
        var request = request()
        request.environment[name] = "x"
        #expect(refusal(request).contains("cannot be set: a name is not empty and has no ="))
    }

    // MARK: Unveil

    @Test func defaultsAreOptionalAndTheTasksDirectoriesNoSymlinks() throws {
        let rules = try plan(request()).unveil
        // The rule of the task's own /proc is for everything there.
        let paths = UnveilDefault.paths.filter { !$0.rule.path.hasPrefix("/proc/") }
        let defaults = paths.count
        #expect(UnveilDefault.paths.allSatisfy { !$0.rule.path.hasPrefix("/proc/") || $0.rule.modes == .read })
        let ownRoot = [
            "r:/proc", "rw:/dev/pts", "rw:/dev/ptmx", "rw:/dev/tty", "rwc:/dev/shm", "rwxc:\(Self.directory)",
            "r:/sys/fs/cgroup/nomad.slice/share.slice/\(Self.alloc).web.scope",
        ]
        #expect(rules.count == defaults + ownRoot.count + 4)
        #expect(rules.dropFirst(defaults).prefix(ownRoot.count).map(\.rule.text) == ownRoot)
        // The task can neither rename nor remove what the client keeps in its directory.
        #expect(rules.filter(\.keepsDirectories).map(\.rule.path) == [Self.directory])
        #expect(rules.prefix(defaults).map(\.rule) == paths.map(\.rule))
        #expect(rules.prefix(defaults).allSatisfy { $0.optional && !$0.noSymlink && $0.origin == nil })
        #expect(
            rules.suffix(4).map(\.rule.text) == [
                "rwxc:\(Self.directory)/local", "rwxc:\(Self.directory)/secrets", "rwxc:\(Self.directory)/tmp",
                "rwxc:\(Self.directory)/alloc",
            ])
        #expect(rules.suffix(4).allSatisfy { $0.optional && $0.noSymlink })
    }

    /// What an Executor that stands by can do for every task of the configuration, in the order of the request.
    @Test func rulesOfEveryTaskAreKnownBeforeARequest() throws {
        var configuration = PluginConfiguration()
        configuration.unveilByTask = true
        configuration.unveilPaths = [UnveilRule(modes: .read, path: "/srv")]
        let specification = try plan(request(["command": "env", "unveil": ["rx:/opt/x"]]), configuration)
        let rules = try DecodedMessage<Exec2__Executor__LaunchRequest>(specification.encodedRules).root
        let paths = rules.messages(.unveil).map(\.path)
        #expect(paths.contains("/usr/bin") && paths.last == "/srv")
        // Of the task alone.
        #expect(!paths.contains { $0.hasPrefix(Self.directory) || $0.hasSuffix(".scope") || $0 == "/opt/x" })
        #expect(!paths.contains("/dev/stdout"))
        // Made before the request as well.
        #expect(paths.contains("/proc") && paths.contains("/dev/pts") && paths.contains("/dev/shm"))
        let root = try #require(specification.root)
        #expect(rules.root?.shm_size == root.sharedMemoryBytes)
        let all = specification.unveil.map(\.rule.path)
        #expect(paths == all.filter { paths.contains($0) })
        #expect(rules.isSet(\.scope_abstract_sockets) && !rules.isSet(\.restrict_tcp_bind))
    }

    @Test func rulesWithAMarkAreOptional() throws {
        var configuration = PluginConfiguration()
        configuration.unveilByTask = true
        configuration.unveilPaths = [
            UnveilRule(modes: .read, path: "/a", isOptional: true), UnveilRule(modes: .read, path: "/b"),
        ]
        let request = request(["command": "env", "unveil": ["r?:/c", "r:/d", "r?:local/e", "r:local/f", "r?:/tmp/g"]])
        let plan = try plan(request, configuration)
        let named = plan.unveil.filter { $0.origin != nil }
        #expect(named.map { $0.rule.path.last } == ["a", "b", "c", "d", "e", "f", "g"])
        #expect(named.map(\.optional) == [true, false, true, false, true, false, true])
        let root = try #require(plan.root)
        #expect(root.template.paths.filter { $0.origin != nil }.map(\.optional) == [true, false])
        #expect(root.paths.prefix(3).map(\.optional) == [true, false, true])
    }

    @Test func withoutDefaultsOnlyWhatIsNamedIsReachable() throws {
        var configuration = PluginConfiguration()
        configuration.unveilDefaults = false
        configuration.unveilByTask = true
        configuration.unveilPaths = [UnveilRule(modes: .read, path: "/srv")]
        let request = request(["command": "env", "unveil": ["rx:/opt/x", "rwc:data"]])
        let rules = try plan(request, configuration).unveil
        #expect(rules.map(\.rule.text) == ["r:/srv", "rx:/opt/x", "rwc:\(Self.directory)/data"])
        #expect(
            rules.map(\.origin) == ["plugin option unveil_paths", "task option unveil", "task option unveil"])
        #expect(rules.allSatisfy { !$0.optional && !$0.noSymlink })
    }

    @Test func aJobCannotChooseItsOwnDirectories() throws {
        var request = request()
        request.environment["NOMAD_TASK_DIR"] = "/etc/local"
        let result = try plan(request)
        #expect(result.unveil.suffix(4).allSatisfy { $0.rule.path.hasPrefix("/alloc/\(Self.alloc)/") })
        #expect(result.workDir.path == "/alloc/\(Self.alloc)/web")
        #expect(result.environment.contains("TMPDIR=/alloc/\(Self.alloc)/web/tmp"))
    }

    @Test func abstractSocketsAreClosed() throws {
        #expect(try plan(request()).confinement.scopesAbstractSockets)
    }

    // MARK: Who it is

    @Test func onlyRootHasCapabilities() throws {
        #expect(try plan(request()).confinement.capabilities == 0)
        #expect(try plan(request(), user: Self.root).confinement.capabilities == Capability.forRoot)
        let nobody = TaskUser(name: "nobody", uid: 65534, gid: 65534, groups: [65534], home: "/nonexistent")
        #expect(try plan(request(), user: nobody).confinement.capabilities == 0)
    }

    @Test func oomScoreAdjIsTheTasksOrZero() throws {
        #expect(try plan(request()).oomScoreAdj == 0)
        #expect(try plan(request(["command": "x", "oom_score_adj": 500])).oomScoreAdj == 500)
    }

    // MARK: Network and limits

    @Test func theNetworkIsTheHostsOrTheGroups() throws {
        var request = request()
        #expect(try plan(request).networkNamespace.isEmpty)
        request.network = .group(path: "/var/run/netns/x")
        #expect(try plan(request).networkNamespace == "/var/run/netns/x")
        request.network = .group(path: "")
        #expect(refusal(request).contains("mode group, but no path"))
        request.network = .unsupported(mode: "task")
        #expect(refusal(request).contains("mode task, which this driver does not support"))
    }

    @Test func limitsBecomeWritesToTheCgroup() throws {
        var request = request()
        #expect(try plan(request).cgroupWrites.isEmpty)
        request.resources.cpuShares = 500
        request.resources.memoryMB = 64
        let writes = try plan(request).cgroupWrites
        #expect(writes.contains(CgroupWrite(file: "cpu.max", value: "25000 100000")))
        #expect(writes.contains(CgroupWrite(file: "memory.max", value: "67108864")))
        request.resources.memoryMB = -1
        #expect(refusal(request).contains("resource memory is -1"))
    }

    // MARK: What is refused

    @Test(arguments: ["", ".", "..", "a/b", "/", "../x", "../\u{301}x"])
    func namesThatAreNoPartOfAPathAreRefused(name: String) {
        var request = request()
        request.name = name
        #expect(refusal(request).contains("must be one part of a path, neither . nor .."))
    }

    @Test(arguments: ["", "alloc", "./alloc"])
    func aRelativeAllocDirIsRefused(path: String) {
        var request = request()
        request.allocDir = path
        #expect(refusal(request).contains("alloc_dir is \"\(path)\": must be an absolute path"))
    }

    @Test func aTaskWithoutACgroupIsRefused() {
        var request = request()
        request.cgroup = ""
        #expect(refusal(request).contains("linux_resources.cpuset_cgroup is missing"))
    }

    @Test func mistakesInTheOptionsKeepTheirSentence() {
        #expect(refusal(request([:])).hasPrefix("task config: option \"command\" is missing"))
        #expect(
            refusal(request(["command": "x", "unveil": ["r:/etc"]]))
                .contains("the plugin option unveil_by_task is false"))
    }
}
