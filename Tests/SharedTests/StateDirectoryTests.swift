import Shared
import Testing

@Suite struct StateDirectoryTests {
    @Test func aTaskIdBecomesOneDirectoryName() throws {
        #expect(try stateDirectoryName(ofTask: "0f1e/web/1a2b3c4d") == "0f1e+web+1a2b3c4d")
    }

    @Test func noTwoIdsShareAName() throws {
        #expect(try stateDirectoryName(ofTask: "a+b") == "a%2Bb")
        #expect(try stateDirectoryName(ofTask: "a%2Bb") == "a%252Bb")
        #expect(try stateDirectoryName(ofTask: "a\nb") == "a%0Ab")
    }

    @Test(arguments: ["..", ".", "a/../b", "../a", "a/..", "/a", "a/", "a//b", "a/./b"])
    func idsThatCouldLeaveTheDirectoryAreRefused(id: String) {
        #expect(throws: TaskIDError.badComponent) { try stateDirectoryName(ofTask: id) }
    }

    @Test func emptyAndEndlessIdsAreRefused() {
        #expect(throws: TaskIDError.empty) { try stateDirectoryName(ofTask: "") }
        #expect(throws: TaskIDError.tooLong(bytes: 256)) {
            try stateDirectoryName(ofTask: String(repeating: "x", count: 256))
        }
    }
}
