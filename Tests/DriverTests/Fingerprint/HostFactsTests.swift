import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Host
@testable import Planning

@Suite struct HostFactsTests {
    @Test func thisHostsFactsAreThoseOfTheSystem() throws {
        let facts = HostFacts.gather(executorPath: "/does/not/exist")
        #expect(facts.effectiveUser == geteuid())
        #expect(facts.systemName == "Linux")
        let release = try HostFile.read("/proc/sys/kernel/osrelease")
        #expect(facts.kernelRelease + "\n" == String(decoding: release, as: UTF8.self))
        #expect(facts.executor?.found == nil)
        #expect(facts.executor?.misses == [.init(path: "/does/not/exist", reason: "No such file or directory")])
    }

    /// cgroup v1 has no file of this name, nor has any other file system.
    @Test func theCgroupIsOneWhereTheHostHasIt() throws {
        let types = String(decoding: try HostFile.read("/proc/self/mounts"), as: UTF8.self)
        let cgroup = HostFacts.gather(executorPath: nil).cgroup
        #expect((cgroup != nil) == types.split(separator: "\n").contains { $0.split(separator: " ")[2] == "cgroup2" })
        if let cgroup { #expect(access(cgroup.path + "/cgroup.controllers", F_OK) == 0) }
    }

    @Test func landlocksAnswerIsRead() {
        #expect(HostFacts.LandlockSupport(answer: 7) == .version(7))
        #expect(HostFacts.LandlockSupport(answer: 0) == .notBuiltIn)
        #expect(HostFacts.LandlockSupport(answer: -ENOSYS) == .notBuiltIn)
        #expect(HostFacts.LandlockSupport(answer: -EOPNOTSUPP) == .notEnabled)
        #expect(HostFacts.LandlockSupport(answer: -EPERM) == .unknown(.notPermitted))
    }

    @Test func filesAreReadWholeAndErrorsNameThem() throws {
        #expect(try HostFile.read("/proc/self/mountinfo").last == UInt8(ascii: "\n"))
        #expect(throws: SystemError("open", "/does/not/exist", .noSuchFile)) { try HostFile.read("/does/not/exist") }
        #expect(throws: SystemError("read", "/", .isDirectory)) { try HostFile.read("/") }
    }
}
