import Shared
import Testing

@testable import Host
@testable import Planning

@Suite struct UsageTests {
    private static func stat(_ text: String) -> ProcessUsage? {
        Array(text.utf8).withUnsafeBytes { ProcessUsage(stat: $0) }
    }

    private static func number(_ text: String) -> UInt64? {
        Array(text.utf8).withUnsafeBytes { singleNumber(in: $0) }
    }

    private static func usage(cpu: String = "", memory: String = "") -> CgroupUsage {
        var usage = CgroupUsage()
        Array(cpu.utf8).withUnsafeBytes { usage.readCPU($0) }
        Array(memory.utf8).withUnsafeBytes { usage.readMemory($0) }
        return usage
    }

    private static let behindName =
        "S 1 42 42 0 -1 4194560 100 0 0 0 12 34 0 0 20 0 1 0 98765 2400256 321 18446744073709551615 1 1 0 0"

    @Test(arguments: ["sleep", ") 1 2 3 4", "a b", ")))", "(", ""])
    func aProcessIsReadWhateverItsName(_ name: String) throws {
        let usage = try #require(Self.stat("42 (\(name)) \(Self.behindName)\n"))
        // USER_HZ is 100 on every architecture that this runs on.
        #expect((usage.userTime, usage.systemTime) == (120_000, 340_000))
        #expect(usage.startedAt == 98765)
        #expect(usage.residentSet % 321 == 0 && usage.residentSet >= 321 * 4096)
    }

    @Test(arguments: ["", "42", "42 (sleep)", "42 (sleep) S 1 42", "42 (sleep) S 1 42 42 0 -1 4194560 100 0 0 0 x 34"])
    func whatIsNoProcessIsNone(_ text: String) {
        #expect(Self.stat(text) == nil)
    }

    @Test func aNumberStandsAlone() {
        #expect(Self.number("4096\n") == 4096)
        #expect(Self.number("0") == 0)
        #expect(Self.number("18446744073709551615\n") == .max)
        for text in ["", "\n", "max\n", "12 34\n", "-1\n", "18446744073709551616\n"] {
            #expect(Self.number(text) == nil)
        }
    }

    @Test func whatIsNotCountedIsNil() {
        let usage = Self.usage(cpu: "usage_usec 10\nuser_usec 7\nsystem_usec 3\n", memory: "anon 5\nfile 6\n")
        #expect((usage.cpuTotal, usage.cpuUser, usage.cpuSystem) == (10, 7, 3))
        #expect(usage.throttledPeriods == nil && usage.throttledTime == nil)
        #expect(usage.anonymous == 5 && usage.file == 6 && usage.kernel == nil && usage.swap == nil)
    }

    @Test func aCoreThatIsBusyIsAHundredPercent() {
        let earlier = Self.usage(cpu: "usage_usec 1000000\nuser_usec 800000\nsystem_usec 200000\n")
        let later = Self.usage(cpu: "usage_usec 3000000\nuser_usec 2300000\nsystem_usec 700000\n")
        let share = ProcessorShare(from: earlier, to: later, nanoseconds: 2_000_000_000)
        #expect((share.total, share.user, share.system) == (100, 75, 25))
        #expect(ProcessorShare(from: earlier, to: later, nanoseconds: 1_000_000_000).total == 200)
    }

    /// A cgroup that was made anew counts from 0: no share at all, not 18 quintillion.
    @Test func aCounterThatGoesBackIsNoUse() {
        let earlier = Self.usage(cpu: "usage_usec 1000000\nuser_usec 1\nsystem_usec 1\n")
        let later = Self.usage(cpu: "usage_usec 10\nuser_usec 1\nsystem_usec 1\n")
        #expect(ProcessorShare(from: earlier, to: later, nanoseconds: 1).total == 0)
        #expect(ProcessorShare(from: earlier, to: CgroupUsage(), nanoseconds: 1).total == 0)
        #expect(ProcessorShare(from: earlier, to: earlier, nanoseconds: 0).total == 0)
    }

    @Test func allTimeOfANewProcessIsOfThisInterval() throws {
        let usage = try #require(Self.stat("42 (new) \(Self.behindName)\n"))
        let share = ProcessorShare(from: nil, to: usage, nanoseconds: 1_000_000_000)
        #expect(abs(share.total - 46) < 0.001 && abs(share.user - 12) < 0.001)
    }
}

@Suite struct DeadlineTests {
    private static let second: UInt64 = 1_000_000_000

    @Test(arguments: [0, 1, 49_999_999, 50_000_000, 123_456_789_012] as [UInt64])
    func theFirstComesAtMostATwentiethLate(_ now: UInt64) {
        let deadline = Deadline(interval: Self.second, now: now)
        #expect(deadline.next >= now + Self.second)
        #expect(deadline.next < now + Self.second + Self.second / 20)
    }

    @Test func streamsOfOneIntervalMeet() {
        let nexts = Set((0..<1000).map { Deadline(interval: Self.second, now: 7 + $0 * 1_000_000).next })
        #expect(nexts.count <= 21)
    }

    @Test func aLateSampleDoesNotPutOffTheNext() {
        var deadline = Deadline(interval: Self.second, now: 0)
        let first = deadline.next
        deadline.advance(now: first + 300_000_000)
        #expect(deadline.next == first + Self.second)
        // Those that were missed altogether are left out.
        deadline.advance(now: first + 5 * Self.second)
        #expect(deadline.next == first + 6 * Self.second)
        deadline.advance(now: first + 7 * Self.second + 1)
        #expect(deadline.next == first + 8 * Self.second)
    }

    @Test(arguments: [1, 19, 20, UInt64(Int64.max)])
    func anyIntervalWillDo(_ interval: UInt64) {
        #expect(Deadline(interval: interval, now: 1_000_000).next >= interval)
    }
}
