import CLinux
import CMessages
import Shared

/// The TaskStats stream: a sample each interval, from the first interval's end until the task's.
struct StatsService: Sendable {
    /// Nomad asks for a second; what is shorter would be about the reading itself.
    private static let leastInterval: UInt64 = 100_000_000
    private static let defaultInterval: UInt64 = 1_000_000_000

    let settings: DriverSettings
    let reactor: Reactor

    func stream(_ task: SupervisedTask, interval wanted: UInt64, to responses: RPCResponseStream)
        async throws(RPCStatus)
    {
        let interval = wanted == 0 ? Self.defaultInterval : max(wanted, Self.leastInterval)
        var sampler = UsageSampler(cgroup: task.cgroup)
        var deadline = Deadline(interval: interval)
        while !Task.isCancelled {
            if await task.ended.wait(atMost: deadline.remaining(), on: reactor) != nil { return }
            if Task.isCancelled { return }
            deadline.advance()
            let megahertz = settings.current.topology.megahertzPerCore ?? 0
            try await responses.send(Self.response(task.id, sampler.sample(), megahertzPerCore: megahertz))
        }
    }

    private static func response(
        _ id: String, _ sample: UsageSampler.Sample, megahertzPerCore: UInt64
    ) -> [UInt8] {
        Wire.TaskStatsResponse.encoded { response, arena in
            response.stats = arena.message(Wire.TaskStats.self) { stats in
                stats.id = arena.string(id)
                stats.timestamp = arena.timestamp(sample.takenAt)
                stats.agg_resource_usage = arena.message(Wire.TaskResourceUsage.self) { total in
                    total.cpu = arena.processor(sample, megahertzPerCore)
                    total.memory = arena.memory(sample.usage)
                }
                (stats.n_resource_usage_by_pid, stats.resource_usage_by_pid) = arena.messages(
                    Wire.TaskStatsResourceUsageByPidEntry.self, sample.processes
                ) { entry, process in
                    entry.key = arena.string(String(process.pid))
                    entry.value = arena.message(Wire.TaskResourceUsage.self) { usage in
                        usage.cpu = arena.processor(process.share, megahertzPerCore)
                        usage.memory = arena.message(Wire.MemoryUsage.self) { memory in
                            memory.rss = process.residentSet
                            (memory.n_measured_fields, memory.measured_fields) = arena.values([
                                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__RSS
                            ])
                        }
                    }
                }
            }
        }
    }
}

/// Points in time at a fixed distance: a late sample does not put off the next.
///
/// The first is put off a little, at most by a twentieth of the interval, to a point that streams of the
/// same interval have in common: a thousand streams then wake the Driver twenty times a second.
struct Deadline: Sendable {
    private static let coarsest: UInt64 = 50_000_000

    private let interval: UInt64
    private(set) var next: UInt64

    /// - Parameter interval: Nanoseconds; not 0.
    init(interval: UInt64, now: UInt64 = exec2_monotonic()) {
        self.interval = interval
        let grid = max(1, min(interval / 20, Self.coarsest))
        next = (now + interval + grid - 1) / grid * grid
    }

    func remaining() -> UInt64 {
        let now = exec2_monotonic()
        return next > now ? next - now : 0
    }

    /// To the next point that has not passed.
    mutating func advance(now: UInt64 = exec2_monotonic()) {
        next += interval
        if next <= now { next += ((now - next) / interval + 1) * interval }
    }
}

extension MessageArena {
    fileprivate func processor(
        _ share: ProcessorShare, _ megahertzPerCore: UInt64,
        _ more: (inout Wire.CPUUsage) -> [Wire.CPUUsageFields] = { _ in [] }
    ) -> UnsafeMutablePointer<Wire.CPUUsage>? {
        message(Wire.CPUUsage.self) { cpu in
            cpu.percent = share.total
            cpu.user_mode = share.user
            cpu.system_mode = share.system
            var measured = [
                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__SYSTEM_MODE,
                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__USER_MODE,
                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__PERCENT,
            ]
            if megahertzPerCore > 0 {
                cpu.total_ticks = share.total / 100 * Double(megahertzPerCore)
                measured.append(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__TOTAL_TICKS)
            }
            (cpu.n_measured_fields, cpu.measured_fields) = values(measured + more(&cpu))
        }
    }

    fileprivate func processor(
        _ sample: UsageSampler.Sample, _ megahertzPerCore: UInt64
    ) -> UnsafeMutablePointer<Wire.CPUUsage>? {
        guard sample.usage.cpuTotal != nil else { return message(Wire.CPUUsage.self) }
        return processor(sample.share, megahertzPerCore) { cpu in
            guard let periods = sample.usage.throttledPeriods, let time = sample.usage.throttledTime else { return [] }
            cpu.throttled_periods = periods
            cpu.throttled_time = time * 1000
            return [
                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__THROTTLED_PERIODS,
                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__THROTTLED_TIME,
            ]
        }
    }

    /// Only what was measured is listed: the client shows nothing else.
    fileprivate func memory(_ usage: CgroupUsage) -> UnsafeMutablePointer<Wire.MemoryUsage>? {
        message(Wire.MemoryUsage.self) { memory in
            var measured: [Wire.MemoryUsageFields] = []
            func set(_ value: UInt64?, _ field: Wire.MemoryUsageFields, _ target: inout UInt64) {
                guard let value else { return }
                target = value
                measured.append(field)
            }
            set(usage.anonymous, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__RSS, &memory.rss)
            set(usage.file, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__CACHE, &memory.cache)
            set(usage.swap, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__SWAP, &memory.swap)
            set(usage.memory, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__USAGE, &memory.usage)
            set(
                usage.memoryPeak, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__MAX_USAGE,
                &memory.max_usage)
            set(
                usage.kernel, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__KERNEL_USAGE,
                &memory.kernel_usage)
            (memory.n_measured_fields, memory.measured_fields) = values(measured)
        }
    }
}
