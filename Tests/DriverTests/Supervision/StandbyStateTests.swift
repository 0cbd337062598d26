import Testing

@testable import Supervision

/// Copyable, for the macros of the tests.
private final class Standby {
    private var state = StandbyState<Int>()
    var leaving: Int { state.leaving }

    func prepare() -> Bool { state.prepare() }
    func made(_ executor: Int) -> Int? { state.made(executor) }
    func failed(isSpawned: Bool) { state.failed(isSpawned: isSpawned) }
    func take(where isMeant: (Int) -> Bool = { _ in true }) -> Int? { state.take { isMeant($0) } }
    func dismiss() -> Int? { state.dismiss() }
    func close() -> Int? { state.close() }
    func left() { state.left() }
}

/// The table of `StandbyState`, without processes: a number stands for an Executor.
@Suite struct StandbyStateTests {
    @Test func oneAtATime() {
        let state = Standby()
        #expect(state.take() == nil)
        #expect(state.prepare())
        #expect(!state.prepare() && state.take() == nil)
        #expect(state.made(1) == nil)
        #expect(!state.prepare())
        #expect(state.take() == 1)
        #expect(state.take() == nil && state.leaving == 1)
        state.left()
        #expect(state.leaving == 0 && state.prepare())
    }

    @Test func anotherThanTheOneThatIsMeantStays() {
        let state = Standby()
        #expect(state.prepare() && state.made(1) == nil)
        #expect(state.take { $0 == 2 } == nil && state.leaving == 0)
        #expect(state.take { $0 == 1 } == 1 && state.leaving == 1)
    }

    @Test func oneThatCannotBeMadeIsTriedAgain() {
        let state = Standby()
        #expect(state.prepare())
        state.failed(isSpawned: false)
        #expect(state.leaving == 0 && state.prepare())
        state.failed(isSpawned: true)
        #expect(state.leaving == 1 && state.prepare())
    }

    @Test func aDismissalEndsTheOneThatStandsBy() {
        let state = Standby()
        #expect(state.dismiss() == nil && state.leaving == 0)
        #expect(state.prepare() && state.made(1) == nil)
        #expect(state.dismiss() == 1)
        #expect(state.leaving == 1 && state.dismiss() == nil && state.leaving == 1)
        #expect(state.prepare() && state.made(2) == nil && state.take() == 2)
    }

    /// No second one is made beside it, and it never stands by.
    @Test func aDismissalEndsTheOneThatIsBeingMade() {
        let state = Standby()
        #expect(state.prepare() && state.dismiss() == nil)
        #expect(state.leaving == 1 && !state.prepare() && state.dismiss() == nil && state.leaving == 1)
        #expect(state.take() == nil)
        #expect(state.made(1) == 1)
        state.left()
        #expect(state.leaving == 0 && state.take() == nil && state.prepare())
    }

    @Test(arguments: [false, true]) func aDismissedOneThatFailsCountsUntilItHasEnded(isSpawned: Bool) {
        let state = Standby()
        #expect(state.prepare() && state.dismiss() == nil)
        state.failed(isSpawned: isSpawned)
        #expect(state.leaving == (isSpawned ? 1 : 0) && state.prepare())
    }

    @Test func noneIsMadeAfterTheClosing() {
        let state = Standby()
        #expect(state.close() == nil && state.leaving == 0)
        #expect(!state.prepare() && state.take() == nil && state.dismiss() == nil && state.close() == nil)
        #expect(state.leaving == 0)
    }

    @Test func theClosingEndsTheOneThatStandsBy() {
        let state = Standby()
        #expect(state.prepare() && state.made(1) == nil)
        #expect(state.close() == 1 && state.leaving == 1)
        #expect(!state.prepare())
    }

    @Test(arguments: [false, true]) func theClosingWaitsForTheOneThatIsBeingMade(isDismissed: Bool) {
        let state = Standby()
        #expect(state.prepare())
        if isDismissed { #expect(state.dismiss() == nil) }
        #expect(state.close() == nil && state.leaving == 1)
        #expect(state.made(1) == 1 && state.leaving == 1)
        state.left()
        #expect(state.leaving == 0 && !state.prepare())
    }

    @Test(arguments: [false, true]) func oneThatFailsAfterTheClosing(isSpawned: Bool) {
        let state = Standby()
        #expect(state.prepare() && state.close() == nil)
        state.failed(isSpawned: isSpawned)
        #expect(state.leaving == (isSpawned ? 1 : 0) && !state.prepare())
    }
}
