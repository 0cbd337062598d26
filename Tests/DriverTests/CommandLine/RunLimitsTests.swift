import Testing

@testable import Commands
@testable import Planning

@Suite struct RunLimitsTests {
    private let options: RunOptions = {
        var options = RunOptions()
        options.memoryMB = 64
        options.memoryMaxMB = 128
        options.cpuMHz = 500
        return options
    }()

    @Test func whereAllIsThereAllIsEnforced() {
        let limits = RunLimits(options, obstacles: [:], megahertzPerCore: 2000)
        #expect(limits.resources == RequestedResources(cpuShares: 500, memoryMB: 64, memoryMaxMB: 128))
        #expect(limits.notices.isEmpty)
    }

    @Test func whatIsNotEnforcedIsSaid() {
        let limits = RunLimits(options, obstacles: ["memory": "a reason"], megahertzPerCore: 2000)
        #expect(limits.resources == RequestedResources(cpuShares: 500))
        #expect(
            limits.notices == [
                "--memory 64 is not enforced: a reason", "--memory-max 128 is not enforced: a reason",
            ])
    }

    @Test func aCoreOfUnknownSpeedCannotBeShared() {
        let limits = RunLimits(options, obstacles: [:], megahertzPerCore: nil)
        #expect(limits.resources.cpuShares == 0)
        #expect(
            limits.notices == ["--cpu 500 is not enforced: this kernel does not tell the speed of its cores"])
    }

    @Test func whatWasNotAskedForIsNotMissed() {
        let limits = RunLimits(RunOptions(), obstacles: ["memory": "a", "cpu": "b"], megahertzPerCore: nil)
        #expect(limits == RunLimits(RunOptions(), obstacles: [:], megahertzPerCore: 2000))
        #expect(limits.notices.isEmpty)
        #expect(RunLimits.controllers(for: RunOptions()).isEmpty)
        #expect(RunLimits.controllers(for: options) == ["memory", "cpu"])
    }
}
