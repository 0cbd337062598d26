import CLinux
import EventLoop
import Shared

/// Samples the use of many tasks, each at its own interval: all those whose deadlines coincide in one go, on a thread
/// of their own. A thousand streams wake it twenty times a second (Deadline), and what the kernel takes its time to
/// count keeps no call waiting.
package final class UsageRounds: Sendable {
    package let reactor: Reactor
    /// By deadline.
    private let rounds = Mutex<[UInt64: [UsageStream]]>([:])

    /// Starts the thread.
    package init() throws(SystemError) { reactor = try Reactor("the thread of statistics") }

    /// Samples for a stream from its first deadline on, until it is ended.
    package func add(_ stream: UsageStream) {
        if let deadline = stream.nextDeadline { add(stream, deadline) }
    }

    private func add(_ stream: UsageStream, _ deadline: UInt64) {
        let isFirst = rounds.withLock { rounds in
            rounds[deadline, default: []].append(stream)
            return rounds[deadline]?.count == 1
        }
        guard isFirst else { return }
        let now = exec2_monotonic()
        _ = reactor.after(deadline > now ? deadline - now : 0) { [self] in pass(deadline) }
    }

    private func pass(_ deadline: UInt64) {
        for stream in rounds.withLock({ $0.removeAndShrink(deadline) }) ?? [] {
            if let next = stream.sample() { add(stream, next) }
        }
    }
}

/// One task's use, sampled at an interval until `end`.
package final class UsageStream: Sendable {
    /// Who gets the samples. Both are called on the thread of the rounds, and must not wait.
    package struct Client: Sendable {
        /// Whether a sample is wanted at this deadline.
        package let awaits: @Sendable () -> Bool
        package let take: @Sendable (UsageSampler.Sample) -> Void

        package init(awaits: @escaping @Sendable () -> Bool, take: @escaping @Sendable (UsageSampler.Sample) -> Void) {
            self.awaits = awaits
            self.take = take
        }
    }

    private struct State: ~Copyable {
        let client: Client
        var sampler: UsageSampler
        var deadline: Deadline
    }

    /// Nil once it has ended: the client is let go then, and the files of the sampler are closed.
    private let state: Mutex<State?>

    /// - Parameter interval: Nanoseconds; not 0.
    package init(cgroup: String, interval: UInt64, for client: Client) {
        state = Mutex(
            State(client: client, sampler: UsageSampler(cgroup: cgroup), deadline: Deadline(interval: interval)))
    }

    /// Nil for one that has ended.
    var nextDeadline: UInt64? { state.withLock { $0?.deadline.next } }

    /// Takes a sample where one is awaited, and answers when the next is due; nil for a stream that has ended.
    func sample() -> UInt64? {
        state.withLock { state in
            guard let client = state?.client else { return nil }
            state?.deadline.advance()
            if client.awaits(), let sample = state?.sampler.sample() { client.take(sample) }
            return state?.deadline.next
        }
    }

    package func end() { state.withLock { $0 = nil } }
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
