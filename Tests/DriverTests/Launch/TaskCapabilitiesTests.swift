import Testing

@testable import Planning

@Suite struct TaskCapabilitiesTests {
    private static let every = Capability.every

    private func list(_ names: [String]) -> CapabilityList {
        var list = CapabilityList.empty
        for name in names where !list.add(name) { Issue.record("no capability: \(name)") }
        return list
    }

    private func task(
        root: Bool = false, add: [String] = [], drop: [String] = [], allow: [String] = ["all"],
        available: UInt64 = every
    ) throws(TaskCapabilityError) -> TaskCapabilities {
        try TaskCapabilities(
            isRoot: root, adding: list(add), dropping: list(drop), allowed: list(allow), available: available)
    }

    private func mask(_ capabilities: [Capability]) -> UInt64 { capabilities.reduce(0) { $0 | $1.bit } }

    // MARK: Names

    /// Numbers of uapi linux/capability.h.
    @Test func theNumbersAreTheKernels() {
        let some: [(String, UInt64)] = [
            ("chown", 0), ("dac_read_search", 2), ("net_bind_service", 10), ("net_admin", 12), ("sys_module", 16),
            ("sys_ptrace", 19), ("sys_admin", 21), ("sys_resource", 24), ("sys_time", 25), ("mknod", 27),
            ("setfcap", 31), ("syslog", 34), ("perfmon", 38), ("bpf", 39), ("checkpoint_restore", 40),
        ]
        for (name, number) in some { #expect(Capability(rawValue: number)?.name == name) }
        #expect(Capability.allCases.count == 41)
        #expect(Set(Capability.allCases.map(\.name)).count == 41)
    }

    @Test(arguments: ["net_bind_service", "CAP_NET_BIND_SERVICE", "cap_Net_Bind_Service", "NET_BIND_SERVICE"])
    func namesAreTakenInAnyForm(name: String) {
        #expect(list([name]).named == [.netBindService])
    }

    @Test(arguments: ["", "cap_", "net-bind-service", "cap_cap_chown", "cap_all", "10", "all "])
    func whatIsNoNameIsRefused(name: String) {
        var list = CapabilityList.empty
        let isKnown = list.add(name)
        #expect(!isKnown)
        #expect(list == .empty)
    }

    // MARK: Sets

    @Test func aTaskHasNoneByItself() throws {
        #expect(try task() == task(drop: ["all"]))
        #expect(try task().bounding == 0)
        #expect(try task().ambient == 0)
        #expect(try task(drop: ["chown"]).bounding == 0)
    }

    @Test func whatIsAddedIsAmbientAndAllThatThereIs() throws {
        let result = try task(add: ["net_bind_service", "cap_sys_time", "net_bind_service"])
        #expect(result.ambient == mask([.netBindService, .sysTime]))
        #expect(result.bounding == result.ambient)
    }

    @Test func rootKeepsItsOwnLessWhatIsDropped() throws {
        #expect(try task(root: true).bounding == Capability.forRoot)
        #expect(try task(root: true).ambient == 0)
        #expect(try task(root: true, drop: ["chown", "kill"]).bounding == Capability.forRoot & ~mask([.chown, .kill]))
        #expect(try task(root: true, drop: ["all"]).bounding == 0)
        let result = try task(root: true, add: ["sys_time"], drop: ["all"])
        #expect([result.bounding, result.ambient] == [mask([.sysTime]), mask([.sysTime])])
        #expect(try task(root: true, add: ["sys_time"]).bounding == Capability.forRoot | mask([.sysTime]))
    }

    @Test func rootMayAddWhatItHasAnyway() throws {
        #expect(try task(root: true, add: ["chown"], drop: ["all"], allow: []).bounding == mask([.chown]))
        #expect(throws: TaskCapabilityError.notAllowed("chown")) { try task(add: ["chown"], allow: []) }
    }

    @Test func whatTheAgentLacksRootDoesNotHave() throws {
        #expect(try task(root: true, available: mask([.chown, .sysAdmin])).bounding == mask([.chown]))
    }

    @Test func allIsAllThatTheAgentHas() throws {
        let available = Self.every & ~mask([.sysResource])
        let result = try task(add: ["all"], available: available)
        #expect([result.bounding, result.ambient] == [available, available])
        #expect(try task(add: ["all"], drop: ["sys_admin"]).bounding == Self.every & ~mask([.sysAdmin]))
    }

    // MARK: Refusals

    @Test func whatTheOperatorDoesNotAllowIsRefused() {
        #expect(throws: TaskCapabilityError.notAllowed("sys_admin")) {
            try task(add: ["chown", "CAP_SYS_ADMIN"], allow: ["chown"])
        }
        // All of them by name is not "all".
        #expect(throws: TaskCapabilityError.notAllowed("all")) {
            try task(add: ["all"], allow: Capability.allCases.map(\.name))
        }
        let text = TaskCapabilityError.notAllowed("sys_admin").description
        #expect(
            text
                == "task config: option \"cap_add\" is \"sys_admin\": the plugin option allow_caps of this client does not allow "
                + "it; an operator can add it there")
    }

    @Test func whatIsAddedAndDroppedIsRefused() {
        #expect(throws: TaskCapabilityError.addedAndDropped("chown")) { try task(add: ["chown"], drop: ["cap_chown"]) }
        #expect(throws: TaskCapabilityError.addedAndDropped("all")) { try task(add: ["all"], drop: ["all"]) }
    }

    @Test func whatTheAgentLacksIsNamed() {
        #expect(throws: TaskCapabilityError.notAvailable("sys_resource")) {
            try task(add: ["sys_resource"], available: Self.every & ~Capability.sysResource.bit)
        }
        #expect(TaskCapabilityError.notAvailable("sys_resource").description.contains("sys_resource"))
    }
}
