import Testing

@testable import Planning

@Suite struct ClientTopologyTests {
    @Test func theFirstKnownSpeedOfACoreCounts() {
        #expect(ClientTopology.Core(baseSpeed: 1, maxSpeed: 2, guessSpeed: 3).speed == 1)
        #expect(ClientTopology.Core(maxSpeed: 2, guessSpeed: 3).speed == 2)
        #expect(ClientTopology.Core(guessSpeed: 3).speed == 3)
        #expect(ClientTopology.Core().speed == 0)
    }

    @Test func megahertzPerCoreIsTheMeanOfAllCores() {
        let unlike = ClientTopology(cores: [.init(baseSpeed: 3000), .init(maxSpeed: 2000), .init(guessSpeed: 1000)])
        #expect(unlike.megahertzPerCore == 2000)
    }

    @Test func theOperatorsTotalWins() {
        let cores = [ClientTopology.Core](repeating: .init(baseSpeed: 3000), count: 4)
        #expect(ClientTopology(cores: cores, overrideTotalCompute: 8000).megahertzPerCore == 2000)
    }

    @Test func withoutCoresOrSpeedsThereIsNone() {
        #expect(ClientTopology().megahertzPerCore == nil)
        #expect(ClientTopology(overrideTotalCompute: 5000).megahertzPerCore == nil)
        #expect(ClientTopology(cores: [.init(), .init()]).megahertzPerCore == nil)
        #expect(ClientTopology(cores: [.init(), .init()], overrideTotalCompute: 1).megahertzPerCore == nil)
    }

    @Test func absurdSpeedsDoNotOverflow() {
        let topology = ClientTopology(cores: [.init(baseSpeed: .max), .init(baseSpeed: .max)])
        #expect(topology.megahertzPerCore == UInt64.max / 2)
    }
}
