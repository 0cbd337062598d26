import Testing

@testable import Host
@testable import Planning

@Suite struct CgroupHierarchyTests {
    static func mountPoint(_ lines: String...) -> String? {
        CgroupHierarchy.mountPoint(inMountinfo: Array(lines.joined(separator: "\n").utf8))
    }

    static let root = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
    static let unified = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
    static let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
    static let version1 = "33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:5 master:2 - cgroup cgroup rw,cpu"
    static let part = "90 25 0:38 /nomad.slice /mnt/part rw - cgroup2 cgroup2 rw"

    @Test func theUsualPlaceIsFound() {
        #expect(Self.mountPoint(Self.root, Self.version1, Self.unified) == "/sys/fs/cgroup")
        #expect(Self.mountPoint(Self.root, Self.version1, Self.hybrid, "") == "/sys/fs/cgroup/unified")
    }

    @Test func theUsualPlaceIsBeforeOthersAndTheWholeBeforeAPart() {
        #expect(Self.mountPoint(Self.part, Self.hybrid, Self.unified) == "/sys/fs/cgroup")
        #expect(Self.mountPoint(Self.part, Self.hybrid) == "/sys/fs/cgroup/unified")
        #expect(Self.mountPoint(Self.part, Self.root) == "/mnt/part")
        #expect(
            Self.mountPoint(Self.hybrid, Self.hybrid.replacing("unified", with: "again")) == "/sys/fs/cgroup/unified")
    }

    @Test func withoutCgroup2ThereIsNone() {
        #expect(Self.mountPoint() == nil)
        #expect(Self.mountPoint(Self.root, Self.version1) == nil)
        #expect(Self.mountPoint("25 1 8:1 / /cgroup2 rw cgroup2 - ext4 cgroup2 rw") == nil)
    }

    @Test func brokenLinesAreNoMount() {
        #expect(Self.mountPoint("- cgroup2", "1 2 3 4 5 6 - ", "1 2 3 4 5 6 -", "a b c d e f g h i") == nil)
    }

    @Test func escapedPathsAreRead() {
        #expect(
            Self.mountPoint(#"41 31 0:38 / /a\040b\134c\011d\04 rw - cgroup2 cgroup2 rw"#) == "/a b\\c\td\\04")
    }

    @Test func controllersAreTheWordsOfTheList() {
        #expect(
            CgroupHierarchy.controllers(in: Array("cpuset cpu io memory\n".utf8)) == ["cpuset", "cpu", "io", "memory"])
        #expect(CgroupHierarchy.controllers(in: []) == [])
        #expect(CgroupHierarchy.controllers(in: [0x0A]) == [])
    }
}
