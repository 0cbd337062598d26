import Glibc
import Shared
import Testing

@testable import Planning
@testable import Supervision

@Suite struct StateSweepTests {
    private static let second: Int64 = 1_000_000_000
    private static let day: Int64 = 86_400 * second
    /// The boot was three days ago.
    private static let sinceBoot = 3 * day
    private static let now = 20_000 * day

    private func age(ended: Int64, sinceBoot: Int64?, sameBoot: Bool = true, up: Int64 = sinceBoot) -> Int64 {
        let record = ExitRecord(
            taskDirectory: "a+web", exitCode: 0, signal: 0, oomKilled: false, startedAt: 0, endedAt: ended, pid: 1,
            endedSinceBoot: sinceBoot)
        return DirectoryFacts.age(of: record, sameBoot: sameBoot, sinceBoot: up, now: Self.now)
    }

    /// Whatever the other clock was set to.
    @Test(arguments: [0, now - 2 * day, now - 7, now + day])
    func theBootsClockTellsTheAge(ended: Int64) {
        #expect(age(ended: ended, sinceBoot: Self.sinceBoot - 7 * Self.second) == 7)
    }

    @Test func anEarlierBootsRecordIsAsOldAsThisBoot() {
        #expect(age(ended: Self.now - 9 * Self.day, sinceBoot: 5, sameBoot: false, up: 8 * Self.second) == 8)
        #expect(age(ended: Self.now, sinceBoot: nil, sameBoot: false) == 3 * 86_400)
    }

    /// Of an earlier release's Executor.
    @Test func withoutThatClockTheTimeOfDayCountsAsFarAsItCan() {
        #expect(age(ended: Self.now - 7 * Self.second, sinceBoot: nil) == 7)
        #expect(age(ended: Self.now - 7 * Self.day, sinceBoot: nil) == 3 * 86_400)
    }

    private static let stages: [StateSweep.Stage] = [.start, .aged, .neverClaimed, .forgotten]

    /// An old record goes, but at the start only that of another boot: this one's host may still ask.
    @Test(arguments: [true, false]) func anOldRecordGoes(sameBoot: Bool) {
        let facts = DirectoryFacts(sameBoot: sameBoot, executorAlive: false, wasClaimed: true, endedSecondsAgo: 86_401)
        let removal = DirectoryFacts.Verdict.remove("its task ended more than a day ago")
        let expected = [sameBoot ? .keep : removal, removal, removal, removal]
        #expect(Self.stages.map { facts.verdict($0) } == expected)
    }

    @Test(arguments: [true, false]) func aRecordThatIsNotOldStays(sameBoot: Bool) {
        let facts = DirectoryFacts(sameBoot: sameBoot, executorAlive: false, wasClaimed: true, endedSecondsAgo: 86_400)
        #expect(Self.stages.allSatisfy { facts.verdict($0) == .keep })
    }
}
