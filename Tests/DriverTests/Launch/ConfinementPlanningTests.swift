import CMessages
import Shared
import Testing

@testable import HCLog
@testable import Messages
@testable import Planning
@testable import Supervision

@Suite struct ConfinementPlanningTests {
    private func plan(
        _ options: ConfinementOptions, _ policy: ConfinementPolicy = ConfinementPolicy(), abi: Int = 7,
        root: Bool = false
    ) throws(StartError) -> LaunchConfinement {
        try planning(policy, abi).confinement(options, isRoot: root)
    }

    private func planning(_ policy: ConfinementPolicy, _ abi: Int = 7) -> LaunchPlanning {
        var configuration = PluginConfiguration()
        configuration.confinement = policy
        return LaunchPlanning(
            configuration: configuration, megahertzPerCore: nil,
            host: HostAbilities(
                landlockABI: abi, capabilities: Capability.every,
                hardLimits: [.nofile: 4096, .nice: 0, .rtprio: 0, .msgqueue: 0]))
    }

    private func refusal(
        _ options: ConfinementOptions, _ policy: ConfinementPolicy = ConfinementPolicy(), abi: Int = 7
    ) -> String {
        do throws(StartError) {
            _ = try plan(options, policy, abi: abi)
            Issue.record("accepted")
            return ""
        } catch {
            #expect(error.kind == .permanent)
            return error.text
        }
    }

    @Test func aTaskIsConfinedWithoutOptions() throws {
        let result = try plan(ConfinementOptions())
        #expect(result.capabilities == 0 && result.ambientCapabilities == 0)
        #expect(result.resourceLimits.isEmpty)
        #expect(result.scopesAbstractSockets)
        #expect(result.tcpBind == nil && result.tcpConnect == nil)
        #expect(result.seccompFilter != nil)
        #expect(try plan(ConfinementOptions(), root: true).capabilities == Capability.forRoot)
    }

    @Test func aTaskOfRootsHasHalfOfWhatIsCountedForRoot() {
        var host = HostAbilities(landlockABI: 7, capabilities: 0)
        host.hardLimits = [.sigpending: 31_001, .msgqueue: 819_200, .nofile: 1024]
        let half = ResourceLimit(.msgqueue, soft: 409_600, hard: 409_600)
        #expect(host.rootTaskLimits(besides: []) == [ResourceLimit(.sigpending, soft: 15_500, hard: 15_500), half])
        #expect(host.rootTaskLimits(besides: [ResourceLimit(.sigpending, soft: 1, hard: 2)]) == [half])
        host.hardLimits[.msgqueue] = ResourceLimit.unlimited
        host.hardLimits[.sigpending] = nil
        #expect(host.rootTaskLimits(besides: []).isEmpty)
    }

    @Test func theOperatorsChoicesCount() throws {
        var policy = ConfinementPolicy()
        policy.abstractSockets = true
        policy.seccomp = false
        policy.pathnameSockets = true
        policy.logDenials = true
        policy.quietPaths = ["/proc"]
        let result = try plan(ConfinementOptions(), policy)
        #expect(!result.scopesAbstractSockets)
        #expect(result.opensPathnameSockets && result.logsDenials && result.quietPaths == ["/proc"])
        #expect(try !plan(ConfinementOptions()).opensPathnameSockets)
        #expect(result.seccompFilter == nil)
    }

    /// Whatever the task itself asks for.
    @Test func anOptionThatCannotBeMetRefusesEveryStart() {
        var policy = ConfinementPolicy()
        let error = ConfigurationError(scope: .plugin, problem: .notAMap(found: "5"))
        policy.unusable = [error]
        #expect(throws: StartError(.permanent, error.description)) {
            try planning(policy).specification(
                for: TaskRequest(), user: TaskUser(name: "root", uid: 0, gid: 0, groups: [0], home: "/root"))
        }
    }

    // MARK: Landlock

    @Test func portsNeedVersion4() throws {
        var options = ConfinementOptions()
        options.tcpBind = []
        #expect(try plan(options, abi: 4).tcpBind == [])
        #expect(
            refusal(options, abi: 3)
                == "cannot keep the task to the ports of tcp_bind: that needs version 4 of Landlock (Linux 6.7), and this kernel "
                + "has version 3")
        options.tcpBind = nil
        options.tcpConnect = [443]
        #expect(refusal(options, abi: 1).contains("tcp_connect"))
    }

    @Test func portsOfUDPNeedVersion10() throws {
        var options = ConfinementOptions()
        options.udpConnect = [53]
        #expect(try plan(options, abi: 10).udpConnect == [53])
        #expect(
            refusal(options, abi: 9)
                == "cannot keep the task to the ports of udp_connect: that needs version 10 of Landlock (Linux 7.2), and this "
                + "kernel has version 9")
    }

    /// The first datagram of a socket without a port binds it to port 0, to the kernel.
    @Test func whoMaySendByUDPHasPort0() throws {
        func bound(_ bind: [UInt16]?, _ connect: [UInt16]?) throws -> [UInt16]? {
            var options = ConfinementOptions()
            options.udpBind = bind
            options.udpConnect = connect
            return try plan(options, abi: 10).udpBind
        }
        #expect(try bound([53], nil) == [53, 0])
        #expect(try bound([], [53]) == [0])
        #expect(try bound([0, 1], [53]) == [0, 1])
        #expect(try bound([53], []) == [53])
        #expect(try bound(nil, [53]) == nil)
    }

    /// One table tells of every version that this release knows, in the order of the kernels.
    @Test func everyVersionHasItsKernel() {
        let kernels = (1...LandlockABI.newestKnown).map { LandlockProtection.kernel(ofABI: $0) }
        #expect(Set(kernels).count == LandlockABI.newestKnown)
        #expect(kernels.last == "7.2" && kernels.first == "5.13")
        let versions = LandlockProtection.all.map(\.minimumABI)
        #expect(versions == versions.sorted() && versions.last == LandlockABI.newestKnown)
        #expect(LandlockProtection.text(ofABI: LandlockABI.newestKnown) == "all that this release knows")
        #expect(
            LandlockProtection.text(ofABI: 9)
                == "all but UDP ports (Linux 7.2), quiet paths in the audit log (Linux 7.2)")
        #expect(LandlockProtection.text(ofErrata: 0b101) == "1, 3")
        #expect(LandlockProtection.text(ofErrata: 0) == "none")
    }

    @Test func anOlderLandlockThanWantedStartsNothing() throws {
        var policy = ConfinementPolicy()
        policy.landlockMinABI = 6
        #expect(throws: Never.self) { try plan(ConfinementOptions(), policy, abi: 6) }
        #expect(
            refusal(ConfinementOptions(), policy, abi: 2)
                == "this kernel has version 2 of Landlock, and landlock_min_abi is 6: use Linux 6.12 or newer, or lower the "
                + "plugin option landlock_min_abi")
    }

    /// The Executor says why there is none; a minimum is never let pass.
    @Test func noLandlockIsLessThanAnyMinimumThatWasSet() throws {
        #expect(try plan(ConfinementOptions(), abi: 0).scopesAbstractSockets)
        var policy = ConfinementPolicy()
        policy.landlockMinABI = 2
        #expect(refusal(ConfinementOptions(), policy, abi: 0).contains("version 0 of Landlock"))
    }

    // MARK: Resource limits

    private func limit(_ kind: ResourceLimit.Kind, _ soft: UInt64, _ hard: UInt64) -> ConfinementOptions {
        var options = ConfinementOptions()
        options.ulimits = [ResourceLimit(.core, soft: 0, hard: 0), ResourceLimit(kind, soft: soft, hard: hard)]
        return options
    }

    @Test func aHardLimitAboveTheAgentsNeedsItsName() throws {
        #expect(throws: Never.self) { try plan(limit(.nofile, 1, 4096)) }
        #expect(throws: Never.self) { try plan(limit(.memlock, .max, .max)) }
        #expect(
            refusal(limit(.nofile, 1, 4097))
                == "task config: option \"ulimit\" is \"nofile\" = \"1:4097\": the hard limit is above the agent's own, 4096; that "
                + "needs nofile in the plugin option allow_ulimits of this client, where an operator can add it")
        #expect(refusal(limit(.msgqueue, .max, .max)).contains(#""msgqueue" = "unlimited""#))
        #expect(refusal(limit(.nice, 1, 20)).contains("above the agent's own, 0; that needs nice in"))
        var policy = ConfinementPolicy()
        policy.allowUlimits = [.nofile]
        #expect(throws: Never.self) { try plan(limit(.nofile, 1, .max), policy) }
        #expect(refusal(limit(.msgqueue, 1, 1), policy).contains("allow_ulimits"))
    }

    @Test(
        arguments: [
            (.rtprio, 0, 1), (.rtprio, 99, 99), (.nice, 0, 21), (.nice, 40, 40), (.rttime, .max, .max), (.rttime, 1, 1),
        ] as [(ResourceLimit.Kind, UInt64, UInt64)])
    func priorityNeedsACapability(kind: ResourceLimit.Kind, soft: UInt64, hard: UInt64) {
        var policy = ConfinementPolicy()
        policy.allowUlimits = Set(ResourceLimit.Kind.allCases)
        let text = refusal(limit(kind, soft, hard), policy)
        #expect(text.contains("sys_nice in the plugin option allow_caps") && text.contains("\"\(kind.name)\" = "))
        policy = ConfinementPolicy()
        _ = policy.allowCaps.add("sys_nice")
        #expect(throws: Never.self) { try plan(limit(kind, soft, hard), policy) }
        policy.allowCaps = .all
        #expect(throws: Never.self) { try plan(limit(kind, soft, hard), policy) }
    }

    @Test func noPriorityIsFree() throws {
        #expect(throws: Never.self) { try plan(limit(.rtprio, 0, 0)) }
        #expect(throws: Never.self) { try plan(limit(.nice, 0, 0)) }
    }

    // MARK: System calls

    @Test func aJobOpensOnlyWhatTheOperatorAllows() throws {
        var options = ConfinementOptions()
        options.syscalls = [.ioUring]
        #expect(
            refusal(options)
                == "task config: option \"syscalls\" is \"io_uring\": the plugin option allow_syscalls of this client does not "
                + "allow it; an operator can add it there")
        var policy = ConfinementPolicy()
        policy.allowSyscalls = [.ioUring]
        let open = try plan(options, policy).seccompFilter
        #expect(try open != plan(ConfinementOptions(), policy).seccompFilter)
        // Without a filter there is nothing to open.
        policy = ConfinementPolicy()
        policy.seccomp = false
        #expect(try plan(options, policy).seccompFilter == nil)
    }

    @Test func ioUringAndPortsExcludeEachOther() {
        var options = ConfinementOptions()
        options.syscalls = [.ioUring]
        options.tcpConnect = [443]
        for seccomp in [true, false] {
            var policy = ConfinementPolicy()
            policy.allowSyscalls = [.ioUring]
            policy.seccomp = seccomp
            #expect(refusal(options, policy).contains("io_uring would lead past tcp_bind and tcp_connect"))
        }
        options.tcpConnect = nil
        options.udpConnect = [53]
        var policy = ConfinementPolicy()
        policy.allowSyscalls = [.ioUring]
        #expect(refusal(options, policy, abi: 10).contains("io_uring would lead past udp_bind and udp_connect"))
    }

    // MARK: Cgroup

    @Test func theCgroupsFilesAreWrittenWhereAsked() {
        var options = ConfinementOptions()
        #expect(planning(ConfinementPolicy()).cgroupWrites(options).isEmpty)
        options.pidsLimit = 64
        options.oomGroup = true
        #expect(
            planning(ConfinementPolicy()).cgroupWrites(options) == [
                CgroupWrite(file: "pids.max", value: "64"), CgroupWrite(file: "memory.oom.group", value: "1"),
            ])
    }

    @Test func swapIsTheOperatorsChoice() throws {
        var requested = RequestedResources()
        requested.memoryMB = 1
        func swap(_ allowed: Bool) throws(ResourceLimitError) -> [String] {
            try ResourceLimits.writes(for: requested, megahertzPerCore: nil, swap: allowed)
                .filter { $0.file == "memory.swap.max" }.map(\.value)
        }
        #expect(try swap(false) == ["0"])
        #expect(try swap(true) == ["max"])
        requested.memoryMB = 0
        #expect(try swap(true).isEmpty)
    }

    // MARK: The request

    @Test func everythingIsInTheRequest() throws {
        var specification = LaunchSpecification(
            user: TaskUser(name: "web", uid: 1001, gid: 1002, groups: [], home: "/"))
        specification.confinement.capabilities = 1 << 40 | 1
        specification.confinement.ambientCapabilities = 1 << 40
        specification.confinement.resourceLimits = [ResourceLimit(.nofile, soft: 1, hard: .max)]
        specification.confinement.tcpBind = [0, 65535]
        specification.confinement.tcpConnect = []
        specification.confinement.udpBind = [0, 53]
        specification.confinement.udpConnect = []
        specification.confinement.opensPathnameSockets = true
        specification.confinement.logsDenials = true
        specification.confinement.quietPaths = ["/proc"]
        specification.confinement.seccompFilter = SeccompFilter([], on: .amd64)
        let request = try decoded(specification)
        #expect([request.capabilities, request.ambient_capabilities] == [1 << 40 | 1, 1 << 40])
        let limits = request.messages(.resourceLimits)
        #expect(limits.map { [UInt64($0.resource), $0.soft, $0.hard] } == [[7, 1, .max]])
        #expect(request.isSet(\.restrict_tcp_bind) && request.isSet(\.restrict_tcp_connect))
        #expect(request.values(.tcpBind) == [0, 65535])
        #expect(request.values(.tcpConnect) == [])
        #expect(request.isSet(\.restrict_udp_bind) && request.isSet(\.restrict_udp_connect))
        #expect(request.values(.udpBind) == [0, 53])
        #expect(request.values(.udpConnect) == [])
        #expect(request.isSet(\.open_pathname_sockets) && request.isSet(\.log_denials))
        #expect(request.strings(.quietPaths) == ["/proc"])
        // An older Executor would start the task without the rules for UDP.
        #expect(request.protocol == LaunchVersion.udpPorts && LaunchVersion.newest >= LaunchVersion.udpPorts)
        #expect(request.seccomp_filter == SeccompFilter([], on: .amd64).bytes)

        specification.confinement = LaunchConfinement()
        let bare = try decoded(specification)
        #expect(!bare.isSet(\.restrict_tcp_bind) && !bare.isSet(\.restrict_tcp_connect))
        #expect(!bare.isSet(\.restrict_udp_bind) && !bare.isSet(\.restrict_udp_connect))
        #expect(!bare.isSet(\.open_pathname_sockets) && !bare.isSet(\.log_denials))
        #expect(bare.protocol == LaunchVersion.plain)
        #expect(bare.isSet(\.scope_abstract_sockets))
        #expect(bare.seccomp_filter.isEmpty)
    }

    private func decoded(
        _ specification: LaunchSpecification
    ) throws -> MessageView<Exec2__Executor__LaunchRequest> {
        try DecodedMessage(
            specification.encoded(session: 7, directory: TaskStateDirectory(stateDirectory: "/run/x", name: "a+web"))
        ).root
    }
}
