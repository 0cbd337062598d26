import Shared
import Testing

@testable import Supervision

/// The table at `TaskState`, every state with every event.
@Suite struct TaskStateTests {
    private typealias State = TaskState<Int>

    private static let executor = 7
    private static let handle = StartedTask(pid: 10, startedAt: 100)
    private static let told = StartedTask(pid: 11, startedAt: 101)
    private static let failure = LaunchFailure.reported(stage: 3, .noSuchFile, subject: "/x")
    private static let otherFailure = LaunchFailure.reported(stage: 4, .busy, subject: "/y")
    private static let killed = ExecutorTermination.killed(signal: 9)
    private static let lost = TaskEnd.lost(reason: "lost", endedAt: 5)
    private static let recorded = TaskEnd.recorded(
        ExitRecord(
            taskDirectory: "a", exitCode: 3, signal: 0, oomKilled: false, startedAt: 102, endedAt: 103, pid: 12))
    /// The record tells of the task what the Executor has told.
    private static let fromRecord = StartedTask(pid: 12, startedAt: 102)

    private static let events: [State.Event] = [
        .started(told), .launchFailed(failure), .noAnswer, .endKnown(lost), .endKnown(recorded),
        .executorGone(killed),
    ]

    /// A state, and what it becomes with each of `events`; nil: the event is refused.
    private static let table: [(state: State, after: [State?])] = [
        (
            .launching(executor, isStandby: false),
            [
                .running(executor, told), .failed(executor, failure), nil, nil, nil,
                .neverStarted(executor, .executorGone(killed, wasStandby: false)),
            ]
        ),
        (
            .launching(executor, isStandby: true),
            [
                .running(executor, told), .failed(executor, failure), nil, nil, nil,
                .neverStarted(executor, .executorGone(killed, wasStandby: true)),
            ]
        ),
        (
            .attaching(executor, handle: handle),
            [
                .running(executor, told), nil, .running(executor, handle), .ended(executor, handle, lost),
                .ended(executor, fromRecord, recorded), .reading(executor, handle, killed),
            ]
        ),
        (
            .running(executor, handle),
            [
                nil, nil, nil, .ended(executor, handle, lost), .ended(executor, fromRecord, recorded),
                .reading(executor, handle, killed),
            ]
        ),
        (.failed(executor, otherFailure), [nil, nil, nil, nil, nil, .neverStarted(executor, otherFailure)]),
        (.ended(executor, handle, lost), [nil, nil, nil, nil, nil, .over(executor, handle, lost)]),
        (
            .reading(executor, handle, .unknown),
            [nil, nil, nil, .over(executor, handle, lost), .over(executor, fromRecord, recorded), nil]
        ),
        (.over(executor, handle, recorded), [nil, nil, nil, nil, nil, nil]),
        (.over(nil, handle, lost), [nil, nil, nil, nil, nil, nil]),
        (.neverStarted(executor, otherFailure), [nil, nil, nil, nil, nil, nil]),
    ]

    @Test(arguments: table.indices) func everyEventIsTakenOrRefused(row: Int) {
        let (state, after) = Self.table[row]
        #expect(after.count == Self.events.count)
        for (event, expected) in zip(Self.events, after) {
            #expect(state.after(event) == expected, "\(state), \(event)")
        }
    }

    @Test func everyStateIsInTheTable() {
        func number(_ state: State) -> Int {
            switch state {
            case .launching: 0
            case .attaching: 1
            case .running: 2
            case .failed: 3
            case .ended: 4
            case .reading: 5
            case .over: 6
            case .neverStarted: 7
            }
        }
        #expect(Set(Self.table.map { number($0.state) }) == Set(0...7))
    }

    /// What is once known stays: a launch's outcome, an end, and that nothing more can come.
    @Test(arguments: table.indices) func nothingIsUnlearned(row: Int) {
        let state = Self.table[row].state
        for next in Self.table[row].after.compactMap({ $0 }) {
            #expect(next.executor == state.executor)
            #expect(!state.isFinal)
            if let end = state.end { #expect(next.end == end) }
            if case .failed(let failure) = state.launch { #expect(next.launch == .failed(failure)) }
            if state.started != nil { #expect(next.started != nil) }
        }
    }

    @Test func whoWaitsForAnEndIsAnsweredWhereThereWillBeOne() {
        for (state, after) in Self.table where state.started != nil && !state.isFinal {
            // However the Executor ends, and whatever is found on disk.
            let ends = after.compactMap { $0 }.contains { $0.end != nil || $0.started != nil }
            #expect(ends, "\(state)")
        }
        for (state, _) in Self.table where state.isFinal { #expect((state.end == nil) == (state.started == nil)) }
    }
}
