import Testing

@testable import HCLog
@testable import Host
@testable import Planning

@Suite struct KernelVersionTests {
    @Test(arguments: [
        ("6.18.44-amd64", 6, 18), ("5.15.0", 5, 15), ("5.15", 5, 15), ("6.1-rc3", 6, 1), ("10.0.1", 10, 0),
    ])
    func releasesAreRead(release: String, major: Int, minor: Int) {
        #expect(KernelVersion(release: release) == KernelVersion(major, minor))
    }

    @Test(arguments: ["", "6", "x.y", "6.", "6.x", ".5"])
    func otherTextIsNoRelease(release: String) {
        #expect(KernelVersion(release: release) == nil)
    }

    @Test func versionsAreOrderedAsNumbers() {
        #expect(KernelVersion(5, 4) < KernelVersion(5, 15))
        #expect(KernelVersion(5, 15) < KernelVersion(6, 0))
        #expect(!(KernelVersion(5, 15) < KernelVersion(5, 15)))
    }
}
