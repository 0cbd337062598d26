import Glibc
import Shared
import Testing

@testable import Commands
@testable import Planning

@Suite struct TaskHomeTests {
    @Test func whatIsNamedIsAllThatIsLookedInto() {
        #expect(TaskHome.all(named: "/srv/state") == [TaskHome(stateDirectory: "/srv/state", run: nil)])
    }

    @Test func aRunsDirectoryIsTheRuns() {
        let path = "/srv/nomad-driver-exec2-run-4711-beef"
        #expect(
            TaskHome.all(named: path) == [TaskHome(stateDirectory: path, run: "nomad-driver-exec2-run-4711-beef")])
    }

    @Test func runsInANamedDirectoryAreAmongThem() throws {
        let directory = try TemporaryDirectory()
        let name = "nomad-driver-exec2-run-4711-beef"
        try #require(mkdir(directory.path + "/" + name, 0o700) == 0)
        #expect(
            TaskHome.all(named: directory.path)
                == [
                    TaskHome(stateDirectory: directory.path, run: nil),
                    TaskHome(stateDirectory: directory.path + "/" + name, run: name),
                ])
    }

    @Test func theSentenceNamesAllThatIsLookedInto() {
        #expect(TaskHome.places(named: "/etc") == "/etc")
        #expect(TaskHome.places(named: "/nonexistent") == "/nonexistent (which does not exist)")
        let usual = TaskHome.places(named: nil)
        #expect(usual.hasPrefix("/run/nomad-driver-exec2"))
        #expect(usual.hasSuffix(", and no \"run\" in /run"))
    }

    @Test func aMissingDirectoryIsAnErrorOnlyWhereItIsNamed() throws {
        let home = TaskHome(stateDirectory: "/nonexistent", run: nil)
        #expect(throws: SystemError.self) { try home.taskDirectories(named: "/nonexistent") }
        #expect(try home.taskDirectories(named: nil).isEmpty)
    }

    @Test func theUsualOneComesFirst() {
        #expect(TaskHome.all(named: nil).first == TaskHome(stateDirectory: "/run/nomad-driver-exec2", run: nil))
    }

    @Test func directoriesThatAreJustBeingMadeAreLeftOut() throws {
        let directory = try TemporaryDirectory()
        for name in ["a+web+1", ".new+2"] { try #require(mkdir(directory.path + "/" + name, 0o700) == 0) }
        #expect(try TaskHome(stateDirectory: directory.path, run: nil).taskDirectories().map(\.name) == ["a+web+1"])
    }

    @Test func oneThatCannotBeReadIsAnError() {
        #expect(throws: SystemError.self) { try TaskHome(stateDirectory: "/nonexistent", run: nil).taskDirectories() }
    }
}
