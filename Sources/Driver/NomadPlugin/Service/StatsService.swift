import CMessages
import EventLoop
import GRPCServer
import Host
import Messages
import Shared
import Supervision

/// The TaskStats stream: a sample each interval, from the first interval's end until the task's.
struct StatsService: Sendable {
    /// Nomad asks for a second; what is shorter would be about the reading itself.
    private static let minimumInterval: UInt64 = 100_000_000
    private static let defaultInterval: UInt64 = 1_000_000_000

    private let settings: DriverSettings
    private let rounds: UsageRounds

    /// Starts the thread of all streams.
    init(settings: DriverSettings) throws(SystemError) {
        self.settings = settings
        rounds = try UsageRounds()
    }

    /// Of the calls that `stream` is for.
    var reactor: Reactor { rounds.reactor }

    /// A client that is slower than the interval is told less often: each sample is about the time since the one
    /// before.
    func stream(_ task: SupervisedTask, interval wanted: UInt64, to responses: RPCResponseStream) async {
        let interval = wanted == 0 ? Self.defaultInterval : max(wanted, Self.minimumInterval)
        let (id, settings) = (task.id, settings)
        let client = UsageStream.Client(
            awaits: { responses.isFree },
            take: { sample in
                _ = responses.offer(Self.response(id, sample, megahertzPerCore: settings.megahertzPerCore ?? 0))
            })
        let stream = UsageStream(cgroup: task.cgroup, interval: interval, for: client)
        defer { stream.end() }
        rounds.add(stream)
        _ = await task.ended.wait()
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
                stats[.resourceUsageByPid] = arena.messages(
                    Wire.TaskStatsResourceUsageByPidEntry.self, sample.processes
                ) { entry, process in
                    entry.key = arena.string(String(process.pid))
                    entry.value = arena.message(Wire.TaskResourceUsage.self) { usage in
                        usage.cpu = arena.processor(process.share, megahertzPerCore)
                        usage.memory = arena.message(Wire.MemoryUsage.self) { memory in
                            memory.rss = process.residentSet
                            memory[.measuredFields] = arena.values([
                                HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__RSS
                            ])
                        }
                    }
                }
            }
        }
    }
}

extension MessageArena {
    fileprivate func processor(
        _ share: ProcessorShare, _ megahertzPerCore: UInt64, of usage: CgroupUsage? = nil
    ) -> UnsafeMutablePointer<Wire.CPUUsage>? {
        message(Wire.CPUUsage.self) { cpu in
            cpu[.measuredFields] = values(Wire.CPUUsageFields.self, atMost: 6) { measured in
                cpu.percent = share.total
                cpu.user_mode = share.user
                cpu.system_mode = share.system
                measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__SYSTEM_MODE)
                measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__USER_MODE)
                measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__PERCENT)
                if megahertzPerCore > 0 {
                    cpu.total_ticks = share.total / 100 * Double(megahertzPerCore)
                    measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__TOTAL_TICKS)
                }
                if let periods = usage?.throttledPeriods, let time = usage?.throttledTime {
                    cpu.throttled_periods = periods
                    cpu.throttled_time = time * 1000
                    measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__THROTTLED_PERIODS)
                    measured(HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__CPUUSAGE__FIELDS__THROTTLED_TIME)
                }
            }
        }
    }

    fileprivate func processor(
        _ sample: UsageSampler.Sample, _ megahertzPerCore: UInt64
    ) -> UnsafeMutablePointer<Wire.CPUUsage>? {
        guard sample.usage.cpuTotal != nil else { return message(Wire.CPUUsage.self) }
        return processor(sample.share, megahertzPerCore, of: sample.usage)
    }

    /// Only what was measured is listed: the client shows nothing else.
    fileprivate func memory(_ usage: CgroupUsage) -> UnsafeMutablePointer<Wire.MemoryUsage>? {
        message(Wire.MemoryUsage.self) { memory in
            memory[.measuredFields] = values(Wire.MemoryUsageFields.self, atMost: 6) {
                measured in
                func set(_ value: UInt64?, _ field: Wire.MemoryUsageFields, _ target: inout UInt64) {
                    guard let value else { return }
                    target = value
                    measured(field)
                }
                set(usage.anonymous, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__RSS, &memory.rss)
                set(usage.file, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__CACHE, &memory.cache)
                set(usage.swap, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__SWAP, &memory.swap)
                set(
                    usage.memory, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__USAGE, &memory.usage)
                set(
                    usage.memoryPeak, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__MAX_USAGE,
                    &memory.max_usage)
                set(
                    usage.kernel, HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__MEMORY_USAGE__FIELDS__KERNEL_USAGE,
                    &memory.kernel_usage)
            }
        }
    }
}
