import Glibc

/// The limits of a task as the values of its cgroup's files (the kernel's cgroup-v2 documentation).
enum ResourceLimits {
    /// The writes for `requested`, in the order in which they are to be made.
    ///
    /// A limit of 0 gives no write at all: a cgroup that the host made has no limit to begin with, and a host
    /// whose cgroup v2 lacks the controller can still run the task.
    /// - Parameter megahertzPerCore: What one core counts for (`ClientTopology.megahertzPerCore`).
    /// - Parameter swap: Whether a task with a memory limit may swap besides.
    static func writes(
        for requested: RequestedResources, megahertzPerCore: UInt64?, swap: Bool = false
    ) throws(ResourceLimitError) -> [CgroupWrite] {
        try cpu(requested, megahertzPerCore: megahertzPerCore) + memory(requested, swap)
    }

    /// Microseconds: the period of the quota that the driver computes itself.
    static let cpuPeriod: UInt64 = 100_000

    /// What the kernel takes as quota and period, in microseconds (kernel/sched/core.c): a quota of 44 bits at
    /// most, at least 1 ms of either, and at most a second of period.
    private static let quotas: ClosedRange<UInt64> = 1000...((1 << 44) - 1)
    private static let periods: ClosedRange<UInt64> = 1000...1_000_000

    private static func cpu(
        _ requested: RequestedResources, megahertzPerCore: UInt64?
    ) throws(ResourceLimitError) -> [CgroupWrite] {
        let direct = try notNegative(requested.cpuShares, "cpu")
        let fallback = try notNegative(requested.linux.cpuShares, "linux_resources.cpu_shares")
        let givenQuota = try notNegative(requested.linux.cpuQuota, "linux_resources.cpu_quota")
        let givenPeriod = try notNegative(requested.linux.cpuPeriod, "linux_resources.cpu_period")
        let megahertz = direct != 0 ? direct : fallback

        var writes: [CgroupWrite] = []
        if megahertz != 0 {
            writes.append(CgroupWrite(file: "cpu.weight", value: "\(weight(ofShares: megahertz))"))
        }
        if megahertz != 0, let megahertzPerCore, megahertzPerCore != 0 {
            let (product, overflow) = megahertz.multipliedReportingOverflow(by: cpuPeriod)
            let quota = max(product / megahertzPerCore, quotas.lowerBound)
            if overflow || quota > quotas.upperBound {
                throw .tooLarge(resource: "cpu", value: Int64(clamping: megahertz), unit: "MHz")
            }
            writes.append(cpuMax(quota, cpuPeriod, asked: product / megahertzPerCore))
        } else if givenQuota != 0 {
            let period = givenPeriod != 0 ? givenPeriod : cpuPeriod
            guard periods.contains(period) else {
                throw .outOfRange(
                    resource: "linux_resources.cpu_period", value: Int64(clamping: period),
                    allowed: "from \(periods.lowerBound) to \(periods.upperBound) microseconds")
            }
            let quota = max(givenQuota, quotas.lowerBound)
            if quota > quotas.upperBound {
                throw .tooLarge(
                    resource: "linux_resources.cpu_quota", value: Int64(clamping: givenQuota),
                    unit: "microseconds")
            }
            writes.append(cpuMax(quota, period, asked: givenQuota))
        } else if megahertz != 0 {
            throw .unknownCoreSpeed(megahertz: Int64(clamping: megahertz))
        }
        return writes
    }

    private static func cpuMax(_ quota: UInt64, _ period: UInt64, asked: UInt64) -> CgroupWrite {
        CgroupWrite(
            file: "cpu.max", value: "\(quota) \(period)", raisedFrom: asked < quota ? "\(asked) \(period)" : nil)
    }

    /// The kernel counts memory in pages, and rounds a limit down to whole ones.
    private static let pageSize = UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))

    private static func memory(
        _ requested: RequestedResources, _ allowsSwap: Bool
    ) throws(ResourceLimitError) -> [CgroupWrite] {
        let direct = try bytes(ofMB: notNegative(requested.memoryMB, "memory"), "memory")
        let fallback = try notNegative(requested.linux.memoryLimitBytes, "linux_resources.memory_limit_bytes")
        let asked = direct != 0 ? direct : fallback
        let memory = asked == 0 ? 0 : max(asked, pageSize)
        let raisedFrom = asked < memory ? "\(asked)" : nil

        // Written in either case: a restarted task finds what was written for it before.
        let swap = CgroupWrite(file: "memory.swap.max", value: allowsSwap ? "max" : "0", mayBeMissing: true)
        switch requested.memoryMaxMB {
        case 0 where memory == 0, -1 where memory == 0:
            return []
        case 0:
            return [swap, CgroupWrite(file: "memory.max", value: "\(memory)", raisedFrom: raisedFrom)]
        case -1:
            return [
                swap, CgroupWrite(file: "memory.low", value: "\(memory)"),
                CgroupWrite(file: "memory.max", value: "max"),
            ]
        default:
            let limit = try bytes(ofMB: notNegative(requested.memoryMaxMB, "memory_max"), "memory_max")
            // What the host puts among linux_resources may be memory_max itself: nothing to compare with.
            if limit < direct {
                throw .memoryMaxBelowMemory(memoryMax: requested.memoryMaxMB, memory: requested.memoryMB)
            }
            let low = min(memory, limit)
            return [swap]
                + (low == 0 ? [] : [CgroupWrite(file: "memory.low", value: "\(low)")])
                + [CgroupWrite(file: "memory.max", value: "\(limit)")]
        }
    }

    /// The weight 1…10000 for shares 2…262144 of cgroup v1, the linear conversion that container runtimes share.
    static func weight(ofShares shares: UInt64) -> UInt64 {
        1 + (min(max(shares, 2), 262_144) - 2) * 9999 / 262_142
    }

    private static func notNegative(_ value: Int64, _ resource: String) throws(ResourceLimitError) -> UInt64 {
        guard let magnitude = UInt64(exactly: value) else { throw .negative(resource: resource, value: value) }
        return magnitude
    }

    /// The kernel counts memory in a signed 64-bit number.
    private static func bytes(ofMB megabytes: UInt64, _ resource: String) throws(ResourceLimitError) -> UInt64 {
        if megabytes > UInt64(Int64.max) >> 20 {
            throw .tooLarge(resource: resource, value: Int64(clamping: megabytes), unit: "MB")
        }
        return megabytes << 20
    }
}

/// Why a request's resources cannot be made limits.
enum ResourceLimitError: Error, Equatable, CustomStringConvertible {
    case negative(resource: String, value: Int64)
    case outOfRange(resource: String, value: Int64, allowed: String)
    case tooLarge(resource: String, value: Int64, unit: String)
    /// Both in MB.
    case memoryMaxBelowMemory(memoryMax: Int64, memory: Int64)
    case unknownCoreSpeed(megahertz: Int64)

    var description: String {
        switch self {
        case .negative("memory_max", let value):
            "resource memory_max is \(value): must be a number of MB, 0 for none, or -1 for no limit"
        case .negative(let resource, let value):
            "resource \(resource) is \(value): must not be negative (0 is no limit)"
        case .outOfRange(let resource, let value, let allowed):
            "resource \(resource) is \(value): must be \(allowed)"
        case .tooLarge(let resource, let value, let unit):
            "resource \(resource) is \(value) \(unit): more than the kernel can count"
        case .memoryMaxBelowMemory(let memoryMax, let memory):
            "resource memory_max is \(memoryMax) MB: must not be below memory, which is \(memory) MB"
        case .unknownCoreSpeed(let megahertz):
            "resource cpu is \(megahertz) MHz: the client gave no speed of its cores to measure it by; set "
                + "cpu_total_compute in the client's configuration"
        }
    }
}
