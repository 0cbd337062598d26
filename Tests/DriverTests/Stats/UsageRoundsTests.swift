import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import HCLog
@testable import Host
@testable import Planning

/// The cgroup of these streams is not there: what counts is when they are asked.
@Suite(.hanging(after: 1)) struct UsageRoundsTests {
    private static let interval: UInt64 = 20_000_000

    private final class Samples: Sendable {
        private let threads = Mutex<[pthread_t]>([])
        let enough = OneShot<Void>()

        func stream(awaits: @escaping @Sendable () -> Bool = { true }) -> UsageStream {
            let take: @Sendable (UsageSampler.Sample) -> Void = { [self] _ in
                let count = threads.withLock { threads in
                    threads.append(pthread_self())
                    return threads.count
                }
                if count == 5 { enough.set(()) }
            }
            return UsageStream(
                cgroup: "/nonexistent", interval: interval, for: UsageStream.Client(awaits: awaits, take: take))
        }

        var count: Int { threads.withLock { $0.count } }
        var seenThreads: Set<pthread_t> { threads.withLock { Set($0) } }
    }

    @Test func allStreamsAreSampledOnOneThreadUntilTheyEnd() async throws {
        let rounds = try UsageRounds()
        let all = (0..<50).map { _ in Samples() }
        let streams = all.map { $0.stream() }
        for stream in streams { rounds.add(stream) }
        for samples in all { #expect(await samples.enough.wait() != nil) }
        #expect(all.reduce(into: Set()) { $0.formUnion($1.seenThreads) }.count == 1)
        for stream in streams { stream.end() }
        let counts = all.map(\.count)
        _ = await OneShot<Void>().wait(atMost: 3 * Self.interval, on: rounds.reactor)
        // One at most was being taken when its stream was ended.
        #expect(zip(all, counts).allSatisfy { $0.count <= $1 + 1 })
        #expect(streams.allSatisfy { $0.nextDeadline == nil && $0.sample() == nil })
    }

    /// Also where its next deadline is far away.
    @Test func aStreamThatHasEndedLetsItsClientGo() async throws {
        let rounds = try UsageRounds()
        weak var gone: Samples?
        let stream: UsageStream
        do {
            let samples = Samples()
            gone = samples
            stream = UsageStream(
                cgroup: "/nonexistent", interval: 3_600_000_000_000,
                for: UsageStream.Client(awaits: { true }, take: { _ in samples.enough.set(()) }))
        }
        rounds.add(stream)
        #expect(gone != nil)
        stream.end()
        #expect(gone == nil)
    }

    @Test func nothingIsSampledThatNobodyAwaits() async throws {
        let rounds = try UsageRounds()
        let awaited = Mutex(false)
        let samples = Samples()
        let stream = samples.stream { awaited.withLock { $0 } }
        rounds.add(stream)
        _ = await OneShot<Void>().wait(atMost: 3 * Self.interval, on: rounds.reactor)
        #expect(samples.count == 0)
        awaited.withLock { $0 = true }
        #expect(await samples.enough.wait() != nil)
        stream.end()
    }
}
