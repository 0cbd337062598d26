import Testing

@testable import Commands
@testable import Planning

@Suite struct LockHoldersTests {
    @Test func locksAreFoundByFile() {
        let holders = LockHolders(
            """
            1: FLOCK  ADVISORY  WRITE 811 00:19:5678 0 EOF
            1: -> FLOCK  ADVISORY  WRITE 812 00:19:5678 0 EOF
            2: POSIX  ADVISORY  WRITE 813 fe:00:77 0 EOF
            3: FLOCK  ADVISORY  WRITE -1 fe:00:78 0 EOF
            4: FLOCK
            """)
        #expect(holders.holder(major: 0, minor: 0x19, inode: 5678) == 811)
        #expect(holders.holder(major: 0xFE, minor: 0, inode: 77) == nil)
        #expect(holders.holder(major: 0xFE, minor: 0, inode: 78) == nil)
    }
}
