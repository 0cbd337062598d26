import Shared
import Testing

@testable import MessagePack
@testable import Planning

@Suite struct TaskOptionsTests {
    static let open: PluginConfiguration = {
        var plugin = PluginConfiguration()
        plugin.unveilByTask = true
        return plugin
    }()

    static func decode(
        _ value: MessagePackValue, plugin: PluginConfiguration = open
    ) throws(ConfigurationError) -> TaskOptions {
        try TaskOptions(messagePack: value.encoded, plugin: plugin, taskDirectory: "/mnt/a-web")
    }

    @Test func everyOptionIsRead() throws {
        let options = try Self.decode([
            "command": "/bin/sh", "args": ["-c", "", "exit 7"], "unveil": ["r:/etc/passwd", "rwc:data"],
            "oom_score_adj": 500,
        ])
        #expect(options.command == .path("/bin/sh"))
        #expect(options.arguments == ["-c", "", "exit 7"])
        #expect(options.unveil.map(\.text) == ["r:/etc/passwd", "rwc:/mnt/a-web/data"])
        #expect(options.oomScoreAdjustment == 500)
    }

    @Test func whatIsNotGivenIsUnset() throws {
        let sparse: [MessagePackValue] = [
            ["command": "sh"], ["command": "sh", "args": nil, "unveil": nil, "oom_score_adj": nil, "newer": 1],
        ]
        for value in sparse {
            let options = try Self.decode(value, plugin: PluginConfiguration())
            #expect(options.command == .name("sh"))
            #expect(options.arguments.isEmpty)
            #expect(options.unveil.isEmpty)
            #expect(options.oomScoreAdjustment == nil)
        }
    }

    @Test(arguments: [(0, 0), (1000, 1000), (500.0, 500)] as [(MessagePackValue, Int32)])
    func oomScoreIsReadFromAnyKindOfNumber(value: MessagePackValue, adjustment: Int32) throws {
        #expect(try Self.decode(["command": "sh", "oom_score_adj": value]).oomScoreAdjustment == adjustment)
    }

    static let score = "must be a whole number from 0 to 1000"
    static let command =
        "must be an absolute path, for example ${NOMAD_TASK_DIR}/server, or a bare name to be found in PATH"
    static let wrong: [(MessagePackValue, String)] = [
        ([:], #"option "command" is missing: \#(command)"#),
        (["command": nil], #"option "command" is missing: \#(command)"#),
        (["command": ""], #"option "command" is "": \#(command)"#),
        (["command": 7], #"option "command" is 7: \#(command)"#),
        (["command": "./server"], #"option "command" is "./server": \#(command)"#),
        (["command": "local/server"], #"option "command" is "local/server": \#(command)"#),
        (["command": "s\0h"], #"option "command" is "s\u0000h": must not have a NUL character in it"#),
        (["command": ["sh"]], #"option "command" is ["sh"]: \#(command)"#),
        (["command": "sh", "args": "-c"], #"option "args" is "-c": must be a list of strings"#),
        (["command": "sh", "args": ["a", 2]], #"option "args", item 2, is 2: must be text"#),
        (
            ["command": "sh", "args": [.string([0xFF])]],
            #"option "args", item 1, is (1 bytes that are not UTF-8): must be text"#
        ),
        (
            ["command": "sh", "args": ["a\0"]],
            #"option "args", item 1, is "a\u0000": must not have a NUL character in it"#
        ),
        (["command": "sh", "oom_score_adj": -5], #"option "oom_score_adj" is -5: \#(score)"#),
        (["command": "sh", "oom_score_adj": 1001], #"option "oom_score_adj" is 1001: \#(score)"#),
        (["command": "sh", "oom_score_adj": 0.5], #"option "oom_score_adj" is 0.5: \#(score)"#),
        (["command": "sh", "oom_score_adj": "7"], #"option "oom_score_adj" is "7": \#(score)"#),
        (
            ["command": "sh", "oom_score_adj": .uint(.max)],
            #"option "oom_score_adj" is 18446744073709551615: \#(score)"#
        ),
        (
            ["command": "sh", "unveil": ["r:/a", "rr:/b"]],
            #"option "unveil", item 2, is "rr:/b": mode "r" is there twice: each mode at most once"#
        ),
        (["command": "sh", "unveil": true], #"option "unveil" is true: must be a list of strings"#),
        (["command": "sh", "private_tmp": 1], #"option "private_tmp" is 1: must be true or false"#),
        (["command": "sh", "user_files": "yes"], #"option "user_files" is "yes": must be true or false"#),
        (["command": "sh", "shm_size": "64x"], #"option "shm_size" is "64x": \#(RootOptions.sizeRequirement)"#),
        (["command": "sh", "signal_to": "all"], #"option "signal_to" is "all": \#(SignalTarget.requirement)"#),
        (["command": "sh", "signal_to": ""], #"option "signal_to" is "": \#(SignalTarget.requirement)"#),
        (["command": "sh", "signal_to": true], #"option "signal_to" is true: \#(SignalTarget.requirement)"#),
        (["command": "sh", "shm_size": ["64m"]], #"option "shm_size" is ["64m"]: \#(RootOptions.sizeRequirement)"#),
    ]

    @Test(arguments: wrong)
    func aWrongValueIsNamedWithItsOption(value: MessagePackValue, message: String) {
        let error = #expect(throws: ConfigurationError.self) { try Self.decode(value) }
        #expect(error?.description == "task config: " + message)
    }

    @Test func filesOfTheTasksOwn() throws {
        #expect(try Self.decode(["command": "sh"]).root == RootOptions())
        let options = try Self.decode(
            ["command": "sh", "private_tmp": true, "user_files": true, "shm_size": "1g"]
        ).root
        #expect(options.privateTmp && options.userFiles && options.sharedMemoryBytes == 1 << 30)
    }

    @Test(
        arguments: [
            ("1048576", 1 << 20), ("1m", 1 << 20), ("1024K", 1 << 20), ("64M", 64 << 20), ("134217728", 1 << 27),
            ("016m", 16 << 20), ("16384g", 1 << 44), ("17592186044416", 1 << 44),
        ] as [(String, UInt64)])
    func aSizeIsANumberOfBytesOrHasAUnit(text: String, bytes: UInt64) {
        #expect(RootOptions.sharedMemoryBytes(text) == bytes)
    }

    @Test(
        arguments: [
            "", "m", "0", "64", "1048575", "1023k", "16385g", "17592186044417", "-1", "+64m", "64 m", "64mb", "64t",
            "1.5g",
            "1e9", "0x100000", "18446744073709551616", "18446744073709551615g", "17179869185g", "64m ", "６４m",
        ])
    func whatIsNoSizeOfSharedMemory(text: String) {
        #expect(RootOptions.sharedMemoryBytes(text) == nil)
    }

    @Test func workDirIsAbsoluteOrRelative() throws {
        #expect(try Self.decode(["command": "sh"]).workDir == nil)
        for path in ["local", "/srv", "./a b/.."] {
            #expect(try Self.decode(["command": "sh", "work_dir": .string(Array(path.utf8))]).workDir == path)
        }
        for path in ["", String(repeating: "x", count: 4096)] {
            #expect(throws: ConfigurationError.self) {
                try Self.decode(["command": "sh", "work_dir": .string(Array(path.utf8))])
            }
        }
    }

    @Test func signalsAreForTheGroupUnlessTheJobSaysOtherwise() throws {
        #expect(try Self.decode(["command": "sh"]).signalTarget == .group)
        #expect(try Self.decode(["command": "sh", "signal_to": "group"]).signalTarget == .group)
        #expect(try Self.decode(["command": "sh", "signal_to": "process"]).signalTarget == .process)
    }

    @Test func noBytesMeanNoCommand() {
        #expect(
            throws: ConfigurationError(
                scope: .task, problem: .missing(option: "command", requirement: Self.command))
        ) { try TaskOptions(messagePack: [], plugin: Self.open, taskDirectory: "/t") }
    }

    @Test func unveilIsForTheOperatorToAllow() throws {
        let error = #expect(throws: ConfigurationError.self) {
            try Self.decode(["command": "sh", "unveil": ["r:/etc/passwd"]], plugin: PluginConfiguration())
        }
        #expect(
            error?.description
                == #"task config: option "unveil", item 1, is "r:/etc/passwd": the plugin option unveil_by_task is "#
                + "false on this client, so that tasks may not unveil paths; an operator can set "
                + "unveil_by_task = true, or add the path to unveil_paths")
        #expect(
            try Self.decode(["command": "sh", "unveil": []], plugin: PluginConfiguration()).unveil.isEmpty)
    }

    @Test func aTaskHasSoManyRulesAtMost() throws {
        func decode(_ count: Int) throws -> TaskOptions {
            let rules = (0..<count).map { MessagePackValue.string(Array("r:/srv/\($0)".utf8)) }
            return try Self.decode(["command": "sh", "unveil": .array(rules)])
        }
        #expect(try decode(1024).unveil.count == 1024)
        let error = #expect(throws: ConfigurationError.self) { try decode(1025) }
        #expect(
            error?.description
                == #"task config: option "unveil" is a list of 1025 rules: must be at most 1024 rules: unveil a directory "#
                + "above the paths instead")
    }

    @Test func theSchemaNamesEveryOption() {
        let own = TaskOptions.schema.dropLast(RootOptions.schema.count + ConfinementOptions.schema.count)
        #expect(own.map(\.name) == ["command", "args", "unveil", "oom_score_adj", "work_dir", "signal_to"])
        #expect(own.map(\.type) == ["string", "list(string)", "list(string)", "number", "string", "string"])
        #expect(
            RootOptions.schema.map { [$0.name, $0.type] } == [
                ["private_tmp", "bool"], ["user_files", "bool"], ["shm_size", "string"],
            ])
        let confinement = [
            ("cap_add", "list(string)"), ("cap_drop", "list(string)"), ("pids_limit", "number"),
            ("ulimit", "map(string)"),
            ("oom_group", "bool"), ("tcp_bind", "list(number)"), ("tcp_connect", "list(number)"),
            ("udp_bind", "list(number)"), ("udp_connect", "list(number)"),
            ("syscalls", "list(string)"),
        ]
        #expect(ConfinementOptions.schema.map { [$0.name, $0.type] } == confinement.map { [$0.0, $0.1] })
        #expect(TaskOptions.schema.filter(\.required).map(\.name) == ["command"])
    }
}
