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
        var template = Array("/tmp/exec2-unit-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for name in ["a+web+1", ".new+2"] { try #require(mkdir(folder + "/" + name, 0o700) == 0) }
        defer { for name in ["/a+web+1", "/.new+2", ""] { rmdir(folder + name) } }
        #expect(try TaskHome(stateFolder: folder, run: nil).taskFolders().map(\.name) == ["a+web+1"])
    }

    @Test func oneThatCannotBeReadIsAnError() {
        #expect(throws: SystemError.self) { try TaskHome(stateFolder: "/nonexistent", run: nil).taskFolders() }
    }

    @Test func aNameOnOneLine() {
        #expect("a b/\u{1B}[31m\nü\u{2028}".onOneLine == "a b/_[31m_ü_")
    }
}
