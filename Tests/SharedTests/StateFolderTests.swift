import Shared
import Testing

@Suite struct StateFolderTests {
    @Test func aTaskIdBecomesOneFolderName() throws {
        #expect(try stateFolderName(ofTask: "0f1e/web/1a2b3c4d") == "0f1e+web+1a2b3c4d")
    }

    @Test func noTwoIdsShareAName() throws {
        #expect(try stateFolderName(ofTask: "a+b") == "a%2Bb")
        #expect(try stateFolderName(ofTask: "a%2Bb") == "a%252Bb")
        #expect(try stateFolderName(ofTask: "a\nb") == "a%0Ab")
    }

    @Test(arguments: ["..", ".", "a/../b", "../a", "a/..", "/a", "a/", "a//b", "a/./b"])
    func idsThatCouldLeaveTheFolderAreRefused(id: String) {
        #expect(throws: TaskIDError.badComponent) { try stateFolderName(ofTask: id) }
    }

    @Test func emptyAndEndlessIdsAreRefused() {
        #expect(throws: TaskIDError.empty) { try stateFolderName(ofTask: "") }
        #expect(throws: TaskIDError.tooLong(bytes: 256)) {
            try stateFolderName(ofTask: String(repeating: "x", count: 256))
        }
    }
}
