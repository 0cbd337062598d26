import Shared
import Testing

@testable import Host
@testable import MessagePack
@testable import Planning

@Suite struct UserPolicyTests {
    private func policy(_ value: MessagePackValue) throws(ConfigurationError) -> UserPolicy {
        try PluginConfiguration(messagePack: value.encoded).users
    }

    private func user(_ uid: UInt32, gid: UInt32 = 100, groups: [UInt32] = []) -> TaskUser {
        TaskUser(name: "somebody", uid: uid, gid: gid, groups: groups, home: "/")
    }

    private func refusal(_ policy: UserPolicy, _ user: TaskUser) -> String? {
        do throws(TaskUserError) {
            try policy.check(user, named: user.name)
            return nil
        } catch {
            return error.description
        }
    }

    // MARK: Ranges

    @Test(
        arguments: [
            ("", [], [0, 1, .max]), ("0", [0], [1]), ("0-999,65534", [0, 500, 999, 65534], [1000, 65533, 65535]),
            ("7-7", [7], [6, 8]), ("4294967295", [.max], [0]), ("0-4294967295", [0, 80000, .max], []),
            ("5,1-2,2-3", [1, 2, 3, 5], [0, 4]), ("007", [7], [0]),
        ] as [(String, [UInt32], [UInt32])])
    func ranges(text: String, inside: [UInt32], outside: [UInt32]) throws {
        let ranges = try #require(IDRanges(text))
        #expect(inside.allSatisfy(ranges.contains) && !outside.contains(where: ranges.contains))
        #expect(ranges.text == text)
    }

    @Test(arguments: [
        ",", "1,", ",1", "1,,2", "-", "1-", "-1", "1-2-3", "2-1", "a", "1-b", " 1", "1 ", "1, 2", "1 - 2", "+1", "0x1",
        "1.5",
        "4294967296", "0-4294967296", "99999999999999999999999",
    ])
    func whatIsNoRange(text: String) {
        #expect(IDRanges(text) == nil)
    }

    // MARK: Options

    @Test func defaults() throws {
        let policy = try policy([:])
        #expect(policy == UserPolicy())
        #expect(policy.dynamicUsers == 80_000...89_999)
        #expect(refusal(policy, user(0)) == nil)
    }

    @Test func everyOptionIsRead() throws {
        let policy = try policy([
            "denied_host_uids": "0-999", "denied_host_gids": "4", "dynamic_user_min": 1000, "dynamic_user_max": 2000,
        ])
        #expect(policy.deniedUIDs.contains(999) && policy.deniedGIDs.contains(4))
        #expect(policy.dynamicUsers == 1000...2000)
    }

    @Test(
        arguments: [
            (["denied_host_uids": "root"], #"option "denied_host_uids" is "root": must be ids or ranges of ids"#),
            (["denied_host_gids": "9-1"], #"option "denied_host_gids" is "9-1": must be ids"#),
            (["denied_host_uids": 0], #"option "denied_host_uids" is 0: must be ids"#),
            (
                ["dynamic_user_min": 999],
                #"option "dynamic_user_min" is 999: must be a whole number from 1000 to 4294967294"#
            ),
            (
                ["dynamic_user_min": 90_000],
                #"option "dynamic_user_max" is 89999: must not be below dynamic_user_min, which is 90000"#
            ),
            (["dynamic_user_max": 4_294_967_295], #"option "dynamic_user_max" is 4294967295: must be"#),
        ] as [(MessagePackValue, String)])
    func wrongValue(value: MessagePackValue, text: String) {
        #expect { try policy(value) } throws: { "\($0)".contains(text) }
    }

    // MARK: Users

    @Test func deniedIDs() throws {
        let policy = try policy(["denied_host_uids": "0-999", "denied_host_gids": "27,42"])
        #expect(refusal(policy, user(1000, groups: [100, 101])) == nil)
        #expect(
            refusal(policy, user(0))
                == #"user "somebody": its uid 0 is among those that the plugin option denied_host_uids of this client denies to "#
                + "tasks: 0-999")
        let group = "is among those that the plugin option denied_host_gids of this client denies to tasks: 27,42"
        #expect(refusal(policy, user(1000, gid: 42)) == #"user "somebody": its group 42 \#(group)"#)
        #expect(refusal(policy, user(1000, groups: [100, 27])) == #"user "somebody": its group 27 \#(group)"#)
    }

    @Test func dynamicUsersAreTheClients() throws {
        let few = try policy(["dynamic_user_min": 80_001, "dynamic_user_max": 80_002, "denied_host_gids": "80002"])
        #expect(refusal(few, try TaskUser.resolve("nomad-80001")) == nil)
        for name in ["nomad-1000", "nomad-80000", "nomad-80003"] {
            #expect(
                refusal(few, try TaskUser.resolve(name))?.hasPrefix(
                    #"user "\#(name)": the dynamic workload users of this client are nomad-80001 to nomad-80002"#)
                    == true)
        }
        #expect(refusal(few, try TaskUser.resolve("nomad-80002"))?.contains("its group 80002") == true)
        // An account of such a uid is not made up by the client.
        #expect(refusal(few, user(1000)) == nil)
    }
}
