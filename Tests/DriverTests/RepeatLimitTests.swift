import Testing

@testable import HCLog

@Suite struct RepeatLimitTests {
    @Test func atFirstAndThenWithACountOncePerPeriod() {
        var limit = RepeatLimit(period: 10)
        #expect(limit.occurrence(at: 0) == 1)
        for now in 1..<10 as Range<UInt64> { #expect(limit.occurrence(at: now) == nil) }
        #expect(limit.occurrence(at: 10) == 10)
        #expect(limit.occurrence(at: 19) == nil)
        #expect(limit.occurrence(at: 100) == 2)
    }
}
