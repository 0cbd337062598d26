import Planning

/// Which task each Landlock domain is of, that is, each sandbox in the kernel's audit log.
///
/// The kernel names a domain's creator once, in a record behind that of its first denial. That process is the child of an
/// Executor, which becomes the task's main process or a command in it. Until it is known, denials wait.
struct DenialRouter: Sendable {
    struct Creator: Equatable, Sendable {
        let pid: Int32
        /// An Executor's child has its name; one of another name is a program that has made a sandbox of its own.
        let isExecutors: Bool
    }

    private struct Waiting: Sendable {
        let since: UInt64
        var creator: Creator?
        var denials: [LandlockDenial] = []
        /// No process is left in it.
        var hasEnded = false
    }

    static let maximumWaiting = 256
    /// Domains of one task that are remembered: a program makes as many as it likes, and records of their ends get lost.
    static let maximumOfTask = 256
    /// The start of a task is over by then, or failed.
    static let maximumAge: UInt64 = 30_000_000_000

    private var tasks: [UInt64: String] = [:]
    /// How many domains of each task are among them.
    private var counts: [String: Int] = [:]
    private var waiting: [UInt64: Waiting] = [:]

    /// Takes a record; the task's id and the denial, where that is to be told now.
    /// - Parameter now: On the monotonic clock, in nanoseconds.
    mutating func take(_ record: LandlockRecord, at now: UInt64) -> (task: String, denial: LandlockDenial)? {
        switch record {
        case .access(let domain, let denial):
            if let task = tasks[domain] { return (task, denial) }
            wait(domain, at: now) { if $0.denials.count <= DenialLedger.maximumOfTask { $0.denials.append(denial) } }
        case .domain(let domain, let pid, let name):
            let creator = Creator(pid: pid, isExecutors: name.starts(with: "exec2-".utf8))
            wait(domain, at: now) { $0.creator = creator }
        case .ended(let domain):
            waiting[domain]?.hasEnded = true
            if let task = tasks.removeValue(forKey: domain) { counts[task, default: 1] -= 1 }
        }
        return nil
    }

    private mutating func wait(_ domain: UInt64, at now: UInt64, _ change: (inout Waiting) -> Void) {
        var entry = waiting[domain] ?? Waiting(since: now)
        if waiting[domain] == nil, waiting.count >= Self.maximumWaiting,
            let oldest = waiting.min(by: { $0.value.since < $1.value.since })?.key
        {
            waiting[oldest] = nil
        }
        change(&entry)
        waiting[domain] = entry
    }

    /// The domains whose creator is known, and whose task is not, in no particular order.
    var unresolved: some Collection<(domain: UInt64, creator: Creator)> {
        waiting.lazy.compactMap { domain, entry in entry.creator.map { (domain: domain, creator: $0) } }
    }

    /// Takes the task of a domain, and hands out what has waited for that.
    mutating func resolve(_ domain: UInt64, to task: String) -> [LandlockDenial] {
        guard let entry = waiting.removeValue(forKey: domain) else { return [] }
        if !entry.hasEnded && counts[task, default: 0] < Self.maximumOfTask {
            tasks[domain] = task
            counts[task, default: 0] += 1
        }
        return entry.denials
    }

    /// How many domains of tasks are remembered.
    var size: Int { tasks.count }

    /// Forgets sandboxes that belong to no task, and tasks that are gone.
    mutating func prune(at now: UInt64, isKnown: (String) -> Bool) {
        waiting = waiting.filter {
            now < $0.value.since + Self.maximumAge && $0.value.creator?.isExecutors != false
        }
        tasks = tasks.filter { isKnown($0.value) }
        counts = counts.filter { isKnown($0.key) }
    }
}
