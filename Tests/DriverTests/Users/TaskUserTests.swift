import Glibc
import Shared
import Testing

@testable import HCLog
@testable import Host
@testable import Planning

@Suite struct TaskUserTests {
    @Test(
        arguments: [
            ("nomad-1000", 1000), ("nomad-80000", 80000), ("nomad-4294967294", 4_294_967_294),
        ] as [(String, uid_t)])
    func dynamicWorkloadUsersNeedNoAccount(name: String, id: uid_t) throws {
        var accounts = SystemAccounts()
        accounts.byName = { _, _, _, _, _ in EIO }
        let expected = TaskUser(name: name, uid: id, gid: id, groups: [], home: "/nonexistent")
        #expect(try TaskUser.resolve(name, accounts: accounts) == expected)
    }

    @Test(arguments: [
        "nomad-0", "nomad-999", "nomad-4294967295", "nomad-4294967296", "nomad-99999999999999999999999",
        "nomad-080000",
    ])
    func otherNumbersAreRefused(name: String) {
        let error = #expect(throws: TaskUserError.self) { try TaskUser.resolve(name) }
        #expect(error == .dynamicIDOutOfRange(name))
        #expect(error?.description.contains("must be from 1000 to 4294967294") == true)
    }

    @Test(arguments: [
        "nomad", "nomad-", "nomad-80000x", "nomad-+80000", "nomad--1", "nomad-80000:0", "no-such-user", "1000:1000",
        "-1",
    ])
    func otherNamesAreLookedUp(name: String) {
        #expect(throws: TaskUserError.notFound(name)) { try TaskUser.resolve(name) }
    }

    @Test func onlyUsersThatTheHostMakesUpAreDynamic() throws {
        #expect(try TaskUser.resolve("nomad-80000").isDynamic)
        #expect(try !TaskUser.resolve("root").isDynamic && !TaskUser.resolve("65534").isDynamic)
    }

    @Test func rootAndNobodyAreFound() throws {
        let root = try TaskUser.resolve("root")
        #expect(root.name == "root")
        #expect(root.uid == 0)
        #expect(root.gid == 0)
        #expect(root.groups.contains(0))
        #expect(root.home == "/root")
        #expect(try TaskUser.resolve("nobody").uid == 65534)
    }

    @Test func aUIDWithAnAccountIsThatAccount() throws {
        #expect(try TaskUser.resolve("0") == TaskUser.resolve("root"))
        #expect(try TaskUser.resolve("65534") == TaskUser.resolve("nobody"))
        for name in ["00", "01000", "065534"] {
            #expect(throws: TaskUserError.zerosBeforeUID(name)) { try TaskUser.resolve(name) }
        }
        #expect(throws: TaskUserError.noAccountOfUID("4000000000")) { try TaskUser.resolve("4000000000") }
        #expect(throws: TaskUserError.uidOutOfRange("4294967295")) { try TaskUser.resolve("4294967295") }
        #expect(throws: TaskUserError.uidOutOfRange("4294967296")) { try TaskUser.resolve("4294967296") }
    }

    @Test func namesThatCanBeNoneAreRefused() {
        #expect(throws: TaskUserError.empty) { try TaskUser.resolve("") }
        #expect(throws: TaskUserError.unusableName("root\0x")) { try TaskUser.resolve("root\0x") }
    }

    @Test func theBufferGrowsUntilTheAccountFits() throws {
        // Only read and written by the one test thread.
        nonisolated(unsafe) var sizes: [Int] = []
        var accounts = SystemAccounts()
        accounts.firstBufferSize = 1
        accounts.byName = {
            sizes.append($3)
            return getpwnam_r($0, $1, $2, $3, $4)
        }
        #expect(try TaskUser.resolve("root", accounts: accounts).home == "/root")
        #expect(sizes.count > 3)
        #expect(sizes == sizes.indices.map { 1 << $0 })
    }

    @Test func aBufferThatIsNeverEnoughIsAnError() {
        var accounts = SystemAccounts()
        accounts.byName = { _, _, _, _, _ in ERANGE }
        #expect(throws: TaskUserError.lookupFailed("root", Errno(rawValue: ERANGE))) {
            try TaskUser.resolve("root", accounts: accounts)
        }
    }

    @Test func aFailedLookupIsNoMissingUser() {
        var accounts = SystemAccounts()
        accounts.byName = { _, _, _, _, _ in EIO }
        let error = #expect(throws: TaskUserError.self) { try TaskUser.resolve("alice", accounts: accounts) }
        #expect(error?.description == #"user "alice": cannot look it up on this host: Input/output error"#)
        for status in [0, ENOENT, ESRCH] {
            accounts.byName = { _, _, _, _, _ in status }
            #expect(throws: TaskUserError.notFound("alice")) { try TaskUser.resolve("alice", accounts: accounts) }
        }
    }

    @Test func anInterruptedLookupIsMadeAgain() throws {
        nonisolated(unsafe) var calls = 0
        var accounts = SystemAccounts()
        accounts.byName = {
            calls += 1
            return calls < 3 ? EINTR : getpwnam_r($0, $1, $2, $3, $4)
        }
        #expect(try TaskUser.resolve("root", accounts: accounts).uid == 0)
        #expect(calls == 3)
    }
}
