import Testing

@testable import EventLoop
@testable import Planning

@Suite struct ResourceLimitsTests {
    static func writes(
        _ requested: RequestedResources, megahertzPerCore: UInt64? = 2000
    ) throws(ResourceLimitError) -> [String] {
        try ResourceLimits.writes(for: requested, megahertzPerCore: megahertzPerCore).map {
            "\($0.file)\($0.mayBeMissing ? "?" : "") = \($0.value)"
        }
    }

    static let cpu: [(Int64, UInt64, String)] = [
        (500, 2000, "25000 100000"), (2000, 2000, "100000 100000"), (8000, 2000, "400000 100000"),
        (19, 2000, "1000 100000"), (20, 2000, "1000 100000"), (21, 2000, "1050 100000"), (1, 5000, "1000 100000"),
        (500, 2400, "20833 100000"), (1, UInt64.max, "1000 100000"),
    ]

    /// What was asked for is kept, to be told.
    @Test func whatIsRaisedSaysSo() throws {
        func raised(_ resources: RequestedResources, speed: UInt64? = 2000) throws -> [String: String] {
            let writes = try ResourceLimits.writes(for: resources, megahertzPerCore: speed)
            return Dictionary(
                uniqueKeysWithValues: writes.compactMap { limit in limit.raisedFrom.map { (limit.file, $0) } })
        }
        #expect(try raised(.init(cpuShares: 5)) == ["cpu.max": "250 100000"])
        #expect(try raised(.init(cpuShares: 20, memoryMB: 1)) == [:])
        #expect(try raised(.init(linux: .init(cpuPeriod: 5000, cpuQuota: 999)), speed: nil) == ["cpu.max": "999 5000"])
        #expect(try raised(.init(linux: .init(memoryLimitBytes: 100))) == ["memory.max": "100"])
        #expect(try raised(.init(linux: .init(memoryLimitBytes: 1 << 20))) == [:])
    }

    @Test(arguments: cpu)
    func quotaIsTheTasksPartOfACore(cpu: Int64, speed: UInt64, expected: String) throws {
        let writes = try ResourceLimits.writes(for: .init(cpuShares: cpu), megahertzPerCore: speed)
        #expect(writes.map(\.file) == ["cpu.weight", "cpu.max"])
        #expect(writes.last?.value == expected)
    }

    @Test(
        arguments: [
            (1, 1), (2, 1), (100, 4), (500, 19), (1024, 39), (262_143, 9999), (262_144, 10000), (1_000_000, 10000),
            (UInt64.max, 10000),
        ] as [(UInt64, UInt64)])
    func weightFollowsShares(shares: UInt64, weight: UInt64) {
        #expect(ResourceLimits.weight(ofShares: shares) == weight)
    }

    static let memory: [(Int64, Int64, [String])] = [
        (64, 0, ["memory.swap.max? = 0", "memory.max = 67108864"]),
        (64, 128, ["memory.swap.max? = 0", "memory.low = 67108864", "memory.max = 134217728"]),
        (64, 64, ["memory.swap.max? = 0", "memory.low = 67108864", "memory.max = 67108864"]),
        (64, -1, ["memory.swap.max? = 0", "memory.low = 67108864", "memory.max = max"]),
        (0, 128, ["memory.swap.max? = 0", "memory.max = 134217728"]),
        (0, -1, []), (0, 0, []),
        (8_796_093_022_207, 0, ["memory.swap.max? = 0", "memory.max = 9223372036853727232"]),
    ]

    @Test(arguments: memory)
    func memoryIsInBytes(memory: Int64, memoryMax: Int64, expected: [String]) throws {
        #expect(try Self.writes(.init(memoryMB: memory, memoryMaxMB: memoryMax)) == expected)
    }

    @Test func zeroTouchesNoFile() throws {
        #expect(try Self.writes(.init()) == [])
        #expect(try Self.writes(.init(), megahertzPerCore: nil) == [])
        #expect(try Self.writes(.init(memoryMB: 1)).contains { $0.hasPrefix("cpu") } == false)
        #expect(try Self.writes(.init(cpuShares: 1)).contains { $0.hasPrefix("memory") } == false)
    }

    @Test func linuxResourcesStandIn() throws {
        let linux = RequestedResources.Linux(cpuShares: 500, memoryLimitBytes: 67_108_864)
        #expect(
            try Self.writes(.init(linux: linux)) == [
                "cpu.weight = 19", "cpu.max = 25000 100000", "memory.swap.max? = 0", "memory.max = 67108864",
            ])
        #expect(
            try Self.writes(.init(cpuShares: 1000, memoryMB: 1, linux: linux)) == [
                "cpu.weight = 39", "cpu.max = 50000 100000", "memory.swap.max? = 0", "memory.max = 1048576",
            ])
    }

    /// Hosts put memory_max into the limit of linux_resources where it is set.
    @Test func aLimitOfLinuxResourcesIsNeverAboveMemoryMax() throws {
        let requested = RequestedResources(memoryMaxMB: 64, linux: .init(memoryLimitBytes: 1 << 30))
        #expect(
            try Self.writes(requested) == [
                "memory.swap.max? = 0", "memory.low = 67108864", "memory.max = 67108864",
            ])
    }

    @Test func aGivenQuotaServesWhereNoSpeedIsKnown() throws {
        let quota = RequestedResources.Linux(cpuPeriod: 50_000, cpuQuota: 10_000)
        #expect(
            try Self.writes(.init(cpuShares: 500, linux: quota), megahertzPerCore: nil) == [
                "cpu.weight = 19", "cpu.max = 10000 50000",
            ])
        #expect(
            try Self.writes(.init(linux: .init(cpuQuota: 5)), megahertzPerCore: nil) == ["cpu.max = 1000 100000"])
        #expect(try Self.writes(.init(cpuShares: 500, linux: quota)) == ["cpu.weight = 19", "cpu.max = 25000 100000"])
    }

    static let wrong: [(RequestedResources, UInt64?, String)] = [
        (.init(cpuShares: -1), 2000, "resource cpu is -1: must not be negative (0 is no limit)"),
        (.init(memoryMB: -64), 2000, "resource memory is -64: must not be negative (0 is no limit)"),
        (
            .init(memoryMB: 64, memoryMaxMB: -2), 2000,
            "resource memory_max is -2: must be a number of MB, 0 for none, or -1 for no limit"
        ),
        (
            .init(memoryMB: 64, memoryMaxMB: 32), 2000,
            "resource memory_max is 32 MB: must not be below memory, which is 64 MB"
        ),
        (
            .init(memoryMB: 8_796_093_022_208), 2000,
            "resource memory is 8796093022208 MB: more than the kernel can count"
        ),
        (
            .init(memoryMB: 1, memoryMaxMB: .max), 2000,
            "resource memory_max is 9223372036854775807 MB: more than the kernel can count"
        ),
        (
            .init(cpuShares: .max), 2000,
            "resource cpu is 9223372036854775807 MHz: more than the kernel can count"
        ),
        (
            .init(cpuShares: 1 << 40), 1,
            "resource cpu is 1099511627776 MHz: more than the kernel can count"
        ),
        (
            .init(cpuShares: 500), nil,
            "resource cpu is 500 MHz: the client gave no speed of its cores to measure it by; set "
                + "cpu_total_compute in the client's configuration"
        ),
        (
            .init(linux: .init(cpuShares: -3)), 2000,
            "resource linux_resources.cpu_shares is -3: must not be negative (0 is no limit)"
        ),
        (
            .init(linux: .init(memoryLimitBytes: .min)), 2000,
            "resource linux_resources.memory_limit_bytes is -9223372036854775808: must not be negative (0 is no limit)"
        ),
        (
            .init(linux: .init(cpuQuota: -1)), 2000,
            "resource linux_resources.cpu_quota is -1: must not be negative (0 is no limit)"
        ),
        (
            .init(linux: .init(cpuPeriod: 999, cpuQuota: 1000)), nil,
            "resource linux_resources.cpu_period is 999: must be from 1000 to 1000000 microseconds"
        ),
        (
            .init(linux: .init(cpuQuota: .max)), nil,
            "resource linux_resources.cpu_quota is 9223372036854775807 microseconds: more than the kernel can count"
        ),
    ]

    @Test(arguments: wrong)
    func aWrongValueIsNamed(requested: RequestedResources, speed: UInt64?, message: String) {
        let error = #expect(throws: ResourceLimitError.self) {
            try ResourceLimits.writes(for: requested, megahertzPerCore: speed)
        }
        #expect(error?.description == message)
    }
}
