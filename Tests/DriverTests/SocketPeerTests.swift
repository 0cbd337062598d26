import Glibc
import Shared
import Testing

@testable import NomadPlugin
@testable import Planning

@Suite struct SocketPeerTests {
    private func numbers(_ line: String) -> [Int32] {
        SocketPeer.numbers(inFacts: Array("pos:\t0\nflags:\t02\nPid:\t17\n\(line)\n".utf8))
    }

    @Test func numbersAreThoseOfTheKernelsLine() {
        #expect(numbers("NSpid:\t17") == [17])
        #expect(numbers("NSpid:\t17\t3\t1") == [17, 3, 1])
        #expect(numbers("NSpid:\t-1").isEmpty)
        #expect(numbers("NSpid:\t0").isEmpty)
        #expect(numbers("NSpid:").isEmpty)
        #expect(numbers("mnt_id:\t1").isEmpty)
    }

    @Test func onlyTheDriversUserInItsNamespaceIsServed() {
        #expect(SocketPeer(user: 0, numbers: [17]).refusal(by: 0) == nil)
        #expect(SocketPeer(user: 33, numbers: [17]).refusal(by: 0)?.contains("user is 33") == true)
        #expect(SocketPeer(user: 0, numbers: [17, 1]).refusal(by: 0)?.contains("pid 17") == true)
        #expect(SocketPeer(user: 0, numbers: []).refusal(by: 0)?.contains("has ended") == true)
    }

    @Test func thisProcessIsServed() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let one = OwnedDescriptor(owning: ends[0])
        let other = OwnedDescriptor(owning: ends[1])
        let peer = try SocketPeer(of: one)
        #expect(peer == SocketPeer(user: geteuid(), numbers: [getpid()]))
        let refusal = SocketPeer.refusal(of: other)
        #expect(refusal == nil)
    }
}
