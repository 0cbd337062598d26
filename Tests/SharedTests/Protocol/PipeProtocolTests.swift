import Testing

@testable import Shared

@Suite struct PipeProtocolTests {
    @Test func thisBuildSpeaksARange() {
        #expect(PipeProtocol.minimum >= 1)
        #expect(PipeProtocol.minimum <= PipeProtocol.maximum)
    }

    @Test func theGreatestCommonVersionIsTaken() {
        let (minimum, maximum) = (PipeProtocol.minimum, PipeProtocol.maximum)
        #expect(PipeProtocol.common(minimum: minimum, maximum: maximum) == maximum)
        #expect(PipeProtocol.common(minimum: 0, maximum: .max) == maximum)
        #expect(PipeProtocol.common(minimum: maximum, maximum: maximum + 5) == maximum)
        #expect(PipeProtocol.common(minimum: 0, maximum: minimum) == minimum)
    }

    @Test func rangesThatDoNotMeetHaveNone() {
        #expect(PipeProtocol.common(minimum: PipeProtocol.maximum + 1, maximum: .max) == nil)
        #expect(PipeProtocol.common(minimum: 0, maximum: PipeProtocol.minimum - 1) == nil)
    }

    @Test func anEmptyRangeHasNone() {
        #expect(PipeProtocol.common(minimum: .max, maximum: 0) == nil)
        #expect(PipeProtocol.common(minimum: PipeProtocol.maximum + 1, maximum: PipeProtocol.maximum) == nil)
    }
}
