import Shared
import Testing

@testable import MessagePack
@testable import Planning

@Suite struct ConfinementTests {
    private func task(_ value: MessagePackValue) throws(ConfigurationError) -> ConfinementOptions {
        try TaskOptionsTests.decode(value).confinement
    }

    private func plugin(_ value: MessagePackValue) throws(ConfigurationError) -> ConfinementPolicy {
        try PluginConfiguration(messagePack: value.encoded).confinement
    }

    @Test func everyTaskOptionIsRead() throws {
        let options = try task([
            "command": "sh", "cap_add": ["NET_RAW"], "cap_drop": ["all"], "pids_limit": 64.0, "oom_group": true,
            "ulimit": ["nofile": "1024:4096", "CORE": "0", "as": "-1", "memlock": "65536:unlimited"],
            "tcp_bind": [80, 443.0, 80], "tcp_connect": [], "syscalls": ["io_uring", "perf"],
            "udp_bind": [], "udp_connect": [53],
        ])
        #expect(options.capAdd.named == [.netRaw])
        #expect(options.capDrop == .all)
        #expect(options.pidsLimit == 64)
        #expect(options.oomGroup)
        #expect(
            options.ulimits == [
                ResourceLimit(.core, soft: 0, hard: 0), ResourceLimit(.nofile, soft: 1024, hard: 4096),
                ResourceLimit(.memlock, soft: 65536, hard: .max), ResourceLimit(.as, soft: .max, hard: .max),
            ])
        #expect(options.tcpBind == [80, 443, 80])
        #expect(options.tcpConnect == [])
        #expect(options.udpBind == [] && options.udpConnect == [53])
        #expect(options.portRules.map(\.option) == ["tcp_bind", "tcp_connect", "udp_bind", "udp_connect"])
        #expect(options.syscalls == [.ioUring, .perf])
    }

    @Test func whatIsNotGivenIsUnset() throws {
        let nothing: MessagePackValue = [
            "command": "sh", "cap_add": nil, "pids_limit": nil, "ulimit": nil, "tcp_bind": nil, "syscalls": [],
        ]
        #expect(try task(nothing) == ConfinementOptions())
        #expect(ConfinementOptions().tcpBind == nil)
        #expect(try plugin([:]) == ConfinementPolicy())
    }

    /// As the agent hands over a map or a block, several of them, and numbers.
    @Test func ulimitMayBeAListOfMaps() throws {
        let descriptors = ResourceLimit(.nofile, soft: 7, hard: 7)
        let core = ResourceLimit(.core, soft: 0, hard: 0)
        #expect(try task(["command": "sh", "ulimit": [["nofile": "7"]]]).ulimits == [descriptors])
        #expect(
            try task(["command": "sh", "ulimit": [["nofile": 7.0, "cpu": nil], ["core": 0]]]).ulimits == [
                core, descriptors,
            ])
        #expect(try task(["command": "sh", "ulimit": []]).ulimits.isEmpty)
        #expect(try task(["command": "sh", "ulimit": [[:]]]).ulimits.isEmpty)
    }

    @Test func everyPluginOptionIsRead() throws {
        let policy = try plugin([
            "allow_caps": ["cap_net_raw", "chown"], "landlock_min_abi": 4, "abstract_sockets": true,
            "memory_swap": true, "pathname_sockets": true, "log_denials": true, "denial_events": true,
            "quiet_paths": ["/proc", "/etc/passwd"],
            "seccomp": false, "allow_syscalls": ["bpf"], "allow_ulimits": ["NOFILE", "as"],
        ])
        #expect(policy.allowCaps.named == [.netRaw, .chown])
        #expect(policy.landlockMinABI == 4)
        #expect(policy.abstractSockets && policy.memorySwap && !policy.seccomp)
        #expect(policy.pathnameSockets && policy.logDenials && policy.quietPaths == ["/proc", "/etc/passwd"])
        #expect(policy.allowSyscalls == [.bpf])
        #expect(policy.allowUlimits == [.nofile, .as])
    }

    static let name = "the name must be one of as, core, cpu, data, "
    static let value = "must be soft:hard, or one value for both"
    static let wrong: [(MessagePackValue, String)] = [
        (["cap_add": "chown"], #"option "cap_add" is "chown": must be a list of strings"#),
        (
            ["cap_add": ["chown", "fly"]],
            #"option "cap_add", item 2, is "fly": must be the name of a Linux capability"#
        ),
        (["cap_drop": [7]], #"option "cap_drop", item 1, is 7: must be text"#),
        (["pids_limit": -1], #"option "pids_limit" is -1: must be a whole number from 0 to 4194304"#),
        (["pids_limit": 1.5], #"option "pids_limit" is 1.5: must be"#),
        (["ulimit": "nofile=1"], #"option "ulimit" is "nofile=1": must be a map of strings"#),
        (["ulimit": [["core": "0"], "cpu"]], #"option "ulimit", item 2, is "cpu": must be a map of strings"#),
        (["ulimit": [["core": "0"], ["core": "1"]]], "is given twice"),
        (["ulimit": ["nofile": 1.5]], #"option "ulimit" is "nofile" = 1.5: the name must be text, the value text or"#),
        (["ulimit": ["nofile": true]], #"option "ulimit" is "nofile" = true: the name must be text, the value text"#),
        (["ulimit": ["files": "1"]], #"option "ulimit" is "files" = "1": \#(name)"#),
        (
            ["ulimit": ["nofile": "2:1"]],
            #"option "ulimit" is "nofile" = "2:1": the soft limit must not be above the hard one"#
        ),
        (["ulimit": ["core": "unlimited:0"]], #""core" = "unlimited:0": the soft limit must not"#),
        (["ulimit": ["core": ""]], #"option "ulimit" is "core" = "": \#(value)"#),
        (["ulimit": ["core": "1:2:3"]], value), (["ulimit": ["core": "1:"]], value),
        (["ulimit": ["core": ":1"]], value),
        (["ulimit": ["core": "1k"]], value), (["ulimit": ["core": "-2"]], value), (["ulimit": ["core": "+1"]], value),
        (["ulimit": ["core": "18446744073709551615"]], value), (["ulimit": ["core": " 1"]], value),
        (["ulimit": ["core": "1", "CORE": "2"]], "is given twice"),
        (["oom_group": 1], #"option "oom_group" is 1: must be true or false"#),
        (["tcp_bind": 80], #"option "tcp_bind" is 80: must be a list of port numbers"#),
        (["tcp_bind": [80, 65536]], #"option "tcp_bind", item 2, is 65536: must be a port"#),
        (["udp_bind": [80, 65536]], #"option "udp_bind", item 2, is 65536: must be a port"#),
        (["udp_connect": 53], #"option "udp_connect" is 53: must be a list of port numbers"#),
        (["tcp_connect": [-1]], #"option "tcp_connect", item 1, is -1: must be a port"#),
        (["tcp_connect": ["80"]], #"option "tcp_connect", item 1, is "80": must be a port"#),
        (
            ["syscalls": ["everything"]],
            #"option "syscalls", item 1, is "everything": must be one of accounting, bpf, "#
        ),
    ]

    @Test(arguments: wrong)
    func wrongValuesAreNamed(value: MessagePackValue, text: String) throws {
        guard case .map(let pairs) = value else { return }
        let config = MessagePackValue.map([.init(key: "command", value: "sh")] + pairs)
        do throws(ConfigurationError) {
            _ = try task(config)
            Issue.record("accepted")
        } catch {
            #expect(error.description.hasPrefix("task config: "))
            #expect(error.description.contains(text), "\(error.description)")
        }
    }

    /// What another kernel or a later driver may know is taken, and told as what it is.
    @Test func whatCannotBeMetIsKept() throws {
        let policy = try plugin(["allow_caps": ["chown", "cap_fly", "RUN2"], "landlock_min_abi": 11])
        #expect(policy.allowCaps.named == [.chown])
        #expect(
            policy.unusable.map(\.description) == [
                #"plugin config: option "allow_caps", item 2, is "cap_fly": \#(CapabilityList.requirement)"#,
                #"plugin config: option "allow_caps", item 3, is "RUN2": \#(CapabilityList.requirement)"#,
                #"plugin config: option "landlock_min_abi" is 11: must be a whole number from 1 to 10"#,
            ])
        #expect(try plugin(["allow_caps": ["chown"], "landlock_min_abi": 10]).unusable.isEmpty)
    }

    static let wrongPlugin: [(MessagePackValue, String)] = [
        (["allow_caps": [""]], #"option "allow_caps", item 1, is "": must be the name of a Linux capability"#),
        (["allow_caps": ["net-raw"]], #"option "allow_caps", item 1, is "net-raw": must be the name of a Linux"#),
        (["landlock_min_abi": 0], #"option "landlock_min_abi" is 0: must be a whole number from 1 to 10"#),
        (["landlock_min_abi": 8.5], #"option "landlock_min_abi" is 8.5: must be a whole number from 1 to 10"#),
        (["abstract_sockets": "yes"], #"option "abstract_sockets" is "yes""#),
        (["pathname_sockets": 1], #"option "pathname_sockets" is 1"#),
        (["log_denials": "no"], #"option "log_denials" is "no""#),
        (["denial_events": 1], #"option "denial_events" is 1"#),
        (["quiet_paths": ["/a", "b"]], #"option "quiet_paths", item 2, is "b": must be an absolute path"#),
        (["memory_swap": 1], #"option "memory_swap" is 1"#), (["seccomp": "off"], #"option "seccomp" is "off""#),
        (
            ["allow_ulimits": ["core", "all"]],
            #"option "allow_ulimits", item 2, is "all": must be one of as, core, cpu"#
        ),
        (["allow_syscalls": ["all"]], #"option "allow_syscalls", item 1, is "all": must be one of"#),
    ]

    @Test(arguments: wrongPlugin)
    func wrongPluginValuesAreNamed(value: MessagePackValue, text: String) {
        do throws(ConfigurationError) {
            _ = try plugin(value)
            Issue.record("accepted")
        } catch {
            #expect(error.description.hasPrefix("plugin config: \(text)"), "\(error.description)")
        }
    }
}
