import Testing

@testable import Shared

@Suite struct PipeProtocolTests {
    @Test func thisBuildSpeaksARange() {
        #expect(PipeProtocol.least >= 1)
        #expect(PipeProtocol.least <= PipeProtocol.greatest)
    }

    @Test func theGreatestCommonVersionIsTaken() {
        let (least, greatest) = (PipeProtocol.least, PipeProtocol.greatest)
        #expect(PipeProtocol.common(least: least, greatest: greatest) == greatest)
        #expect(PipeProtocol.common(least: 0, greatest: .max) == greatest)
        #expect(PipeProtocol.common(least: greatest, greatest: greatest + 5) == greatest)
        #expect(PipeProtocol.common(least: 0, greatest: least) == least)
    }

    @Test func rangesThatDoNotMeetHaveNone() {
        #expect(PipeProtocol.common(least: PipeProtocol.greatest + 1, greatest: .max) == nil)
        #expect(PipeProtocol.common(least: 0, greatest: PipeProtocol.least - 1) == nil)
    }

    @Test func anEmptyRangeHasNone() {
        #expect(PipeProtocol.common(least: .max, greatest: 0) == nil)
        #expect(PipeProtocol.common(least: PipeProtocol.greatest + 1, greatest: PipeProtocol.greatest) == nil)
    }
}
