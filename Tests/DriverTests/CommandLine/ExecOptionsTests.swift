import Shared
import Testing

@testable import Commands
@testable import Planning
@testable import Supervision

@Suite struct ExecOptionsTests {
    private static func read(_ words: String...) throws -> ExecOptions {
        try #require(try ExecOptions(words))
    }

    @Test func theTaskAndTheCommandWithItsOwnOptions() throws {
        let options = try Self.read("web", "ls", "-l", "--tty")
        #expect(options.task == "web" && options.command == ["ls", "-l", "--tty"] && options.terminal == nil)
    }

    @Test func dashesMayStandBeforeTheTaskAndBeforeTheCommand() throws {
        #expect(try Self.read("-t", "--", "web", "--", "ls").command == ["ls"])
        #expect(try Self.read("web", "--", "--", "x").command == ["--", "x"])
    }

    @Test func aTerminalOrNone() throws {
        #expect(try Self.read("-t", "web", "sh").terminal == true)
        #expect(try Self.read("--no-tty", "web", "sh").terminal == false)
        #expect(try Self.read("-t", "-T", "web", "sh").terminal == false)
    }

    @Test(arguments: [
        [], ["web"], ["web", "--"], ["", "ls"], ["web", ""], ["--state-dir=", "web", "ls"], ["--frob", "web", "ls"],
    ])
    func whatIsNoCommandLine(_ words: [String]) {
        #expect(throws: UsageError.self) { try ExecOptions(words) }
    }

    @Test func help() throws {
        #expect(try ExecOptions(["--help"]) == nil)
    }
}

@Suite struct TaskSearchTests {
    private static func task(_ id: String, _ name: String, run: String? = nil) -> TaskSearch.Candidate {
        var state = HandleState()
        state.taskID = id
        state.taskName = name
        state.directory = id.replacing("/", with: "+")
        return TaskSearch.Candidate(state: state, run: run)
    }

    private static let tasks = [
        task("0a11bb22-33/web/11112222", "web"), task("0a77cc88-99/web/33334444", "web"),
        task("ffff0000-11/db/55556666", "db"), task("task", "task", run: "nomad-driver-exec2-run-4711-beef"),
        task("task", "task", run: "nomad-driver-exec2-run-47110-cafe"),
    ]

    private static func found(_ wanted: String) -> [String] {
        TaskSearch.matches(wanted, among: tasks).map(\.title)
    }

    @Test func byIdDirectoryAndName() {
        #expect(Self.found("ffff0000-11/db/55556666") == ["ffff0000-11/db/55556666"])
        #expect(Self.found("ffff0000-11+db+55556666") == ["ffff0000-11/db/55556666"])
        #expect(Self.found("db") == ["ffff0000-11/db/55556666"])
        #expect(Self.found("web").count == 2)
    }

    @Test func byTheBeginningOfTheAllocation() {
        #expect(Self.found("0a1") == ["0a11bb22-33/web/11112222"])
        #expect(Self.found("0a").count == 2)
    }

    @Test func byARunsNameOrPid() {
        #expect(Self.found("4711") == ["nomad-driver-exec2-run-4711-beef"])
        #expect(Self.found("nomad-driver-exec2-run-47110-cafe") == ["nomad-driver-exec2-run-47110-cafe"])
        #expect(Self.found("task").isEmpty)
    }

    @Test func othersAreNotFound() {
        #expect(Self.found("eb").isEmpty && Self.found("x").isEmpty)
    }
}
