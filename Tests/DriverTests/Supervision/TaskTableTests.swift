import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import HCLog
@testable import Planning
@testable import Supervision

@Suite(.hanging(after: 1)) struct TaskTableTests {
    private static let id = "0f9b8c3e-6f0d-4c44-8d13-1f6c1b7e3a55/web/0a1b2c3d"

    private let directory: TemporaryDirectory
    private let table: TaskTable

    init() throws {
        directory = try TemporaryDirectory()
        table = TaskTable(reactor: try Reactor(), log: Logger(name: "test"))
    }

    /// A task that has ended, with its state directory.
    private func endedTask() throws -> SupervisedTask {
        var state = HandleState()
        state.stateDirectory = directory.path
        state.directory = try stateDirectoryName(ofTask: Self.id)
        #expect(mkdir(state.taskDirectory.path, 0o700) == 0 || errno == EEXIST)
        return SupervisedTask(
            state, id: Self.id, name: "web", end: .lost(reason: "none", endedAt: 0), reactor: table.reactor,
            events: table.events, log: table.log)
    }

    private var known: SupervisedTask? { try? table.task(Self.id, to: .inspect) }

    /// Seen while an entry was removed by its id, and the directory by its name: of two calls of DestroyTask the one
    /// that came back late took the next task's along.
    @Test func aTaskThatIsDestroyedLateTakesNoOtherAlong() async throws {
        let first = try endedTask()
        table.entries.withLock { $0[Self.id] = .known(first) }
        try await table.destroy(first, force: false)
        #expect(known == nil)
        #expect(directory.names.isEmpty)
        let second = try endedTask()
        table.entries.withLock { $0[Self.id] = .known(second) }
        try await table.destroy(first, force: false)
        #expect(known === second)
        #expect(try second.directory.exists)
        try await table.destroy(second, force: false)
        #expect(known == nil)
        #expect(try !second.directory.exists)
    }

    /// Nor one that another call is just starting, recovering or ending.
    @Test func aTaskThatIsDestroyedLateLeavesAStartAlone() async throws {
        let first = try endedTask()
        let other = TaskTable.Transition(cgroup: "")
        for entry in [.starting(other), .recovering(other), .ending(other)] as [TaskTable.Entry] {
            table.entries.withLock { $0[Self.id] = entry }
            try await table.destroy(first, force: false)
            #expect(table.isKnown(Self.id))
        }
    }

    // MARK: The table at `TaskTable.Entry`

    private enum Kind: Equatable, CaseIterable {
        case none, starting, recovering, ending, known

        init(_ entry: TaskTable.Entry?) {
            self =
                switch entry {
                case nil: .none
                case .starting: .starting
                case .recovering: .recovering
                case .ending: .ending
                case .known: .known
                }
        }
    }

    /// Every entry with every event, of the caller's own and of another's.
    @Test func everyEventOfAnEntryIsTakenOrRefused() throws {
        let (task, otherTask) = (try endedTask(), try endedTask())
        let (own, other) = (TaskTable.Transition(cgroup: ""), TaskTable.Transition(cgroup: ""))
        let entries: [TaskTable.Entry?] = [nil, .starting(own), .recovering(own), .ending(own), .known(task)]
        // By entry: what it becomes; nil: refused.
        let table: [(event: TaskTable.EntryEvent, after: [Kind?])] = [
            (.claimed(.start, other), [.starting, nil, nil, nil, nil]),
            (.claimed(.recover, other), [.recovering, nil, nil, nil, nil]),
            (.claimed(.end, other), [.ending, nil, nil, nil, nil]),
            (.ending(task, other), [nil, nil, nil, nil, .ending]),
            (.ending(otherTask, other), [nil, nil, nil, nil, nil]),
            (.settled(own, task), [nil, .known, .known, .known, nil]),
            (.settled(other, task), [nil, nil, nil, nil, nil]),
            (.givenUp(own), [nil, Kind.none, Kind.none, Kind.none, nil]),
            (.givenUp(other), [nil, nil, nil, nil, nil]),
            (.removed(task), [nil, nil, nil, nil, Kind.none]),
            (.removed(otherTask), [nil, nil, nil, nil, nil]),
        ]
        #expect(entries.map { Kind($0) } == Kind.allCases)
        for (event, after) in table {
            try #require(after.count == entries.count)
            for (entry, expected) in zip(entries, after) {
                var map = TaskEntries()
                map[Self.id] = entry
                let isTaken = map.take(Self.id, event)
                #expect(isTaken == (expected != nil), "\(Kind(entry)), \(event)")
                #expect(Kind(map[Self.id]) == expected ?? Kind(entry), "\(Kind(entry)), \(event)")
            }
        }
    }

    /// A start asks for the others in its cgroup.
    @Test func entriesAreFoundByTheirCgroup() {
        var entries = TaskEntries()
        let (one, other) = (TaskTable.Transition(cgroup: "/a"), TaskTable.Transition(cgroup: "/b"))
        func kinds(_ cgroup: String) -> [Kind] { entries.entries(in: cgroup).map { Kind($0) } }
        let claims: [(id: String, event: TaskTable.EntryEvent)] = [
            ("first", .claimed(.start, one)), ("second", .claimed(.end, one)), ("third", .claimed(.recover, other)),
            ("nowhere", .claimed(.start, TaskTable.Transition(cgroup: ""))),
        ]
        for claim in claims {
            let isTaken = entries.take(claim.id, claim.event)
            #expect(isTaken, "\(claim.id)")
        }
        #expect(kinds("/a") == [.starting, .ending])
        #expect(kinds("/b") == [.recovering])
        #expect(kinds("") == [])
        let isRefused = !entries.take("first", .givenUp(other))
        let isGivenUp = entries.take("first", .givenUp(one))
        #expect(isRefused && isGivenUp)
        #expect(kinds("/a") == [.ending])
        entries["third"] = .starting(one)
        #expect(kinds("/a") == [.ending, .starting])
        #expect(kinds("/b") == [])
    }

    /// A removal that has failed is tried again by who asks next.
    @Test func aTaskWhoseDirectoryStaysIsStillKnown() async throws {
        let task = try endedTask()
        let foreign = task.directory.path + "/foreign"
        #expect(mkdir(foreign, 0o700) == 0)
        table.entries.withLock { $0[Self.id] = .known(task) }
        await #expect(throws: TaskError.self) { try await table.destroy(task, force: false) }
        #expect(known === task)
        #expect(rmdir(foreign) == 0)
        try await table.destroy(task, force: false)
        #expect(known == nil)
        #expect(try !task.directory.exists)
    }
}
