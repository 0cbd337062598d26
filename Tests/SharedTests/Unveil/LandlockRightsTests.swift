import CLinux
import Testing

@testable import Shared

@Suite struct LandlockRightsTests {
    /// The masks of the kernel's documentation: 13 rights in version 1, then REFER, TRUNCATE, IOCTL_DEV, RESOLVE_UNIX.
    @Test(arguments: [
        (1, UInt64(0x1FFF)), (2, 0x3FFF), (3, 0x7FFF), (4, 0x7FFF), (5, 0xFFFF), (6, 0xFFFF), (7, 0xFFFF),
        (8, 0xFFFF), (9, 0x1FFFF), (10, 0x1FFFF),
    ])
    func everyRightOfTheVersionIsHandled(version: Int, mask: UInt64) throws {
        let abi = try #require(LandlockABI(kernelVersion: version))
        #expect(LandlockRights.handled(by: abi).rawValue == mask)
    }

    @Test func socketsAreLeftOpenOnlyAsAsked() throws {
        let abi = try #require(LandlockABI(kernelVersion: 10))
        #expect(LandlockRights.handled(by: abi, opensSockets: true).rawValue == 0xFFFF)
        #expect(LandlockRights.handled(by: abi, opensSockets: false).contains(.resolveUnix))
    }

    @Test func whatTheLogNeedsOfTheVersion() {
        for version in 1...12 {
            let abi = LandlockABI(kernelVersion: version)
            #expect(abi?.logsNewProgramsFlag == (version >= 7 ? 2 : 0))
            #expect(abi?.hasQuietRules == (version >= 10))
        }
    }

    @Test func versionsAreClampedToTheNewestKnown() {
        #expect(LandlockABI(kernelVersion: 99)?.version == 10)
        #expect(LandlockABI(kernelVersion: 10)?.version == 10)
        #expect(LandlockABI(kernelVersion: 1)?.version == 1)
        #expect(LandlockABI(kernelVersion: 0) == nil)
        #expect(LandlockABI(kernelVersion: -38) == nil)
    }

    @Test func abstractSocketsAreScopedFromVersion6() {
        for version in 1...10 {
            #expect(LandlockABI(kernelVersion: version)?.abstractSocketScope == (version >= 6 ? 1 : 0))
        }
    }

    /// Modes, version, mask on a directory, mask on a file.
    static let table: [(AccessModes, Int, UInt64, UInt64)] = [
        (.read, 1, 0x000C, 0x0004),
        (.read, 7, 0x000C, 0x0004),
        (.write, 1, 0x0002, 0x0002),
        (.write, 2, 0x0002, 0x0002),
        (.write, 3, 0x4002, 0x4002),
        (.write, 4, 0x4002, 0x4002),
        (.write, 5, 0xC002, 0xC002),
        (.write, 9, 0x1C002, 0x1C002),
        (.read, 10, 0x000C, 0x0004),
        (.create, 10, 0x37B0, 0),
        (.execute, 1, 0x0001, 0x0001),
        (.execute, 7, 0x0001, 0x0001),
        (.create, 1, 0x17B0, 0),
        (.create, 2, 0x37B0, 0),
        (.create, 7, 0x37B0, 0),
        (.all, 1, 0x17BF, 0x0007),
        (.all, 7, 0xF7BF, 0xC007),
        ([], 7, 0, 0),
    ]

    @Test(arguments: table)
    func modesGrantTheTablesRights(modes: AccessModes, version: Int, directory: UInt64, file: UInt64) throws {
        let abi = try #require(LandlockABI(kernelVersion: version))
        #expect(LandlockRights.granted(by: modes, on: .directory, abi: abi).rawValue == directory)
        #expect(LandlockRights.granted(by: modes, on: .file, abi: abi).rawValue == file)
    }

    @Test func devicesAreMadeByNobodyAndNothingUnhandledIsGranted() throws {
        for version in 1...10 {
            let abi = try #require(LandlockABI(kernelVersion: version))
            let granted = LandlockRights.granted(by: .all, on: .directory, abi: abi)
            #expect(LandlockRights.handled(by: abi).subtracting(granted) == [.makeChar, .makeBlock])
            #expect(granted.isSubset(of: LandlockRights.handled(by: abi)))
        }
    }
}
