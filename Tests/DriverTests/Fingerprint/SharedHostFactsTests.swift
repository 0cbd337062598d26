import Shared
import Testing

@testable import EventLoop
@testable import Host
@testable import Planning

@Suite(.hanging(after: 2)) struct SharedHostFactsTests {
    private static let hour: UInt64 = 3_600_000_000_000
    private static let path = ExaminedPath(path: "/dead/x", option: "executor_path")

    /// Facts for which a path is looked at that answers when the gate is open.
    private static func source(
        _ gate: Gate, pool: BlockingPool = BlockingPool(), nanoseconds: UInt64 = hour
    ) throws -> SharedHostFacts {
        SharedHostFacts(reactor: try Reactor(), pool: pool, nanoseconds: nanoseconds) { configuration, _, examining in
            var facts = FingerprintReportTests.fit
            facts.executor = nil
            examining(ExaminedPath(path: configuration.executorPath ?? "", option: "executor_path"), facts)
            gate.pass()
            facts.executor = ExecutorSearch(found: configuration.executorPath, misses: [])
            return facts
        }
    }

    private static func configuration(_ path: String) -> PluginConfiguration {
        var configuration = PluginConfiguration()
        configuration.executorPath = path
        return configuration
    }

    /// Seen before: each stream that was opened and cancelled kept a thread, and sixteen of them every thread there is.
    @Test func streamsThatAreCancelledKeepOneThread() async throws {
        let gate = Gate()
        let pool = BlockingPool()
        let source = try Self.source(gate, pool: pool)
        let asking = (0..<40).map { _ in Task { await source.facts(for: Self.configuration("/dead/x"), version: 1) } }
        await gate.entered.reaches(1)
        for task in asking { task.cancel() }
        for task in asking { #expect(await task.value == nil) }
        #expect(pool.threadCount == 1)
        #expect(pool.waitingCount == 0)
        #expect(gate.entered.count == 1)
        gate.open()
        #expect(await source.facts(for: Self.configuration("/dead/x"), version: 1)?.executor?.found == "/dead/x")
    }

    @Test func theFactsThatWereGatheredAreGatheredAnewForTheNext() async throws {
        let gate = Gate()
        gate.open()
        let source = try Self.source(gate)
        for number in 1...3 {
            #expect(await source.facts(for: Self.configuration("/a"), version: 1)?.unanswered == nil)
            #expect(gate.entered.count == number)
        }
    }

    @Test func thePathThatDoesNotAnswerIsNamed() async throws {
        let gate = Gate()
        let source = try Self.source(gate, nanoseconds: 1_000_000)
        let configuration = Self.configuration("/dead/x")
        // It begins, and names the path before it hangs; each of the answers comes after the limit.
        _ = await source.facts(for: configuration, version: 1)
        await gate.entered.reaches(1)
        for _ in 0..<3 {
            let facts = try #require(await source.facts(for: configuration, version: 1))
            #expect(facts.unanswered == UnansweredPath(examined: Self.path, seconds: 0))
            #expect(facts.executor == nil)
            #expect(FingerprintReport(facts, configuration: configuration).health == .unhealthy)
            #expect(FingerprintReport(facts, configuration: configuration).description.contains("/dead/x"))
        }
        #expect(gate.entered.count == 1)
        gate.open()
    }

    /// An agent that was given another path is told of that one.
    @Test func anotherConfigurationDoesNotWaitForTheOneBefore() async throws {
        let dead = Gate()
        let source = SharedHostFacts(reactor: try Reactor(), pool: BlockingPool(), nanoseconds: Self.hour) {
            configuration, _, _ in
            if configuration.executorPath == "/dead/x" { dead.pass() }
            return FingerprintReportTests.fit
        }
        let first = Task { await source.facts(for: Self.configuration("/dead/x"), version: 1) }
        await dead.entered.reaches(1)
        #expect(await source.facts(for: Self.configuration("/a"), version: 2) == FingerprintReportTests.fit)
        dead.open()
        #expect(await first.value == FingerprintReportTests.fit)
    }

    @Test func withoutAThreadThatIsSaid() async throws {
        let pool = BlockingPool(.init(hostFacts: 1))
        let gate = Gate()
        pool.perform(in: .hostFacts) { gate.pass() }
        await gate.entered.reaches(1)
        let source = try Self.source(gate, pool: pool, nanoseconds: 0)
        let facts = try #require(await source.facts(for: PluginConfiguration(), version: 1))
        #expect(facts.unanswered == nil)
        #expect(facts.obstacles.first?.contains("no thread could be started") == true)
        gate.open()
    }

    /// Every path that an option names is announced before it is looked at, with its option.
    @Test func eachPathOfTheOptionsIsAnnounced() throws {
        let place = try TemporaryDirectory()
        var configuration = Self.configuration("/missing/executor")
        configuration.stateDirectory = place.path
        configuration.unveilPaths = try ["r:/missing/a", "r:/missing/b", "r?:/missing/c", "r?:/etc/passwd/d"].map {
            try UnveilRule(parsing: $0)
        }
        nonisolated(unsafe) var examined: [ExaminedPath] = []
        let facts = HostFacts.gather(configuration, isSet: true) { path, _ in examined.append(path) }
        #expect(
            examined == [
                .init(path: "/missing/executor", option: "executor_path"),
                .init(path: place.path, option: "state_dir"),
                // Which rules must not lead into.
                .init(path: place.path, option: "state_dir"), .init(path: PluginSockets.parent, option: nil),
            ] + configuration.unveilPaths.map { .init(path: $0.path, option: "unveil_paths") })
        #expect(facts.obstacles.count == 2 && facts.obstacles.allSatisfy { $0.contains("\"r:/missing/") })
        #expect(facts.executor?.found == nil)
    }
}
