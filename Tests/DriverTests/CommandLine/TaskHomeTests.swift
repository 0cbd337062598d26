import Glibc
import Shared
import Testing

@testable import Commands
@testable import Planning

@Suite struct TaskHomeTests {
    @Test func whatIsNamedIsAllThatIsLookedInto() {
        #expect(TaskHome.all(named: "/srv/state") == [TaskHome(stateFolder: "/srv/state", run: nil)])
    }

    @Test func aRunsDirectoryIsTheRuns() {
        let path = "/srv/nomad-driver-exec2-run-4711-beef"
        #expect(
            TaskHome.all(named: path) == [TaskHome(stateFolder: path, run: "nomad-driver-exec2-run-4711-beef")])
    }

    @Test func runsInANamedDirectoryAreAmongThem() throws {
        let folder = try TemporaryFolder()
        let name = "nomad-driver-exec2-run-4711-beef"
        try #require(mkdir(folder.path + "/" + name, 0o700) == 0)
        #expect(
            TaskHome.all(named: folder.path)
                == [
                    TaskHome(stateFolder: folder.path, run: nil),
                    TaskHome(stateFolder: folder.path + "/" + name, run: name),
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
        let home = TaskHome(stateFolder: "/nonexistent", run: nil)
        #expect(throws: SystemError.self) { try home.taskFolders(named: "/nonexistent") }
        #expect(try home.taskFolders(named: nil).isEmpty)
    }

    @Test func theUsualOneComesFirst() {
        #expect(TaskHome.all(named: nil).first == TaskHome(stateFolder: "/run/nomad-driver-exec2", run: nil))
    }

    @Test func foldersThatAreJustBeingMadeAreLeftOut() throws {
        let folder = try TemporaryFolder()
        for name in ["a+web+1", ".new+2"] { try #require(mkdir(folder.path + "/" + name, 0o700) == 0) }
        #expect(try TaskHome(stateFolder: folder.path, run: nil).taskFolders().map(\.name) == ["a+web+1"])
    }

    @Test func oneThatCannotBeReadIsAnError() {
        #expect(throws: SystemError.self) { try TaskHome(stateFolder: "/nonexistent", run: nil).taskFolders() }
    }
}
