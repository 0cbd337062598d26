import Glibc
import Testing

@testable import Commands
@testable import Planning

@Suite struct RunUserTests {
    @Test func aUserIsAmongThoseThatAreFree() {
        let all = Set(RunUser.uids)
        #expect(RunUser.free(all.subtracting([91_234])) == 91_234)
        #expect(RunUser.free(all) == nil)
        #expect(RunUser.free([]).map { RunUser.uids.contains($0) } == true)
    }
}
