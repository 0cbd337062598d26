import Glibc
import Shared
import Testing

@testable import Driver

@Suite struct TaskHomeTests {
    @Test func whatIsNamedIsAllThatIsLookedInto() {
        #expect(TaskHome.all(named: "/srv/state") == [TaskHome(stateFolder: "/srv/state", run: nil)])
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
