import Shared
import Testing

@testable import EventLoop
@testable import MessagePack
@testable import Planning

@Suite struct PluginConfigurationTests {
    static let nothing: [[UInt8]] = [
        [], MessagePackValue.null.encoded, MessagePackValue.map([]).encoded,
        ([
            "unveil_defaults": nil, "unveil_paths": nil, "unveil_by_task": nil, "executor_path": nil,
            "state_dir": nil, "of_a_newer_release": ["a": 1],
        ] as MessagePackValue).encoded,
    ]

    @Test(arguments: nothing)
    func whatIsNotGivenHasItsDefault(bytes: [UInt8]) throws {
        let configuration = try PluginConfiguration(messagePack: bytes)
        #expect(configuration == PluginConfiguration())
        #expect(configuration.unveilDefaults)
        #expect(configuration.unveilPaths.isEmpty)
        #expect(!configuration.unveilByTask)
        #expect(configuration.executorPath == nil)
        #expect(configuration.stateDirectory == "/run/nomad-driver-exec2")
        #expect(configuration.standbyExecutor)
    }

    @Test func everyOptionIsRead() throws {
        let value: MessagePackValue = [
            "unveil_defaults": false, "unveil_by_task": true,
            "unveil_paths": ["r:/etc/mime.types", .binary(Array("rwc:/srv".utf8))],
            "standby_executor": false, "executor_path": "/opt/executor",
            .binary(Array("state_dir".utf8)): "/var/lib/exec2",
        ]
        let configuration = try PluginConfiguration(messagePack: value.encoded)
        #expect(!configuration.unveilDefaults)
        #expect(configuration.unveilByTask)
        #expect(configuration.unveilPaths.map(\.text) == ["r:/etc/mime.types", "rwc:/srv"])
        #expect(configuration.executorPath == "/opt/executor")
        #expect(configuration.stateDirectory == "/var/lib/exec2")
        #expect(!configuration.standbyExecutor)
    }

    static let absoluteFile = "must be the absolute path of a file"
    static let absoluteDirectory = "must be the absolute path of a directory"
    static let wrong: [(MessagePackValue, String)] = [
        (["unveil_defaults": "true"], #"option "unveil_defaults" is "true": must be true or false"#),
        (["standby_executor": 1], #"option "standby_executor" is 1: must be true or false"#),
        (["unveil_by_task": 1], #"option "unveil_by_task" is 1: must be true or false"#),
        (["unveil_paths": "r:/etc"], #"option "unveil_paths" is "r:/etc": must be a list of strings"#),
        (["unveil_paths": ["r:/a", 7]], #"option "unveil_paths", item 2, is 7: must be text"#),
        (["unveil_paths": [nil]], #"option "unveil_paths", item 1, is null: must be text"#),
        (
            ["unveil_paths": ["r:/a", "r:etc"]],
            #"option "unveil_paths", item 2, is "r:etc": the path must be absolute (begin with /; ~ is not expanded)"#
        ),
        (
            ["unveil_paths": ["rq:/a"]],
            #"option "unveil_paths", item 1, is "rq:/a": "q" is not a mode: must be modes:path, modes being any of "#
                + "r (read), w (write), x (execute) and c (create)"
        ),
        (
            ["unveil_paths": ["r:/a\0b"]],
            #"option "unveil_paths", item 1, is "r:/a\u0000b": must not have a NUL character in it"#
        ),
        (["executor_path": ""], #"option "executor_path" is "": \#(absoluteFile)"#),
        (["executor_path": "bin/x"], #"option "executor_path" is "bin/x": \#(absoluteFile)"#),
        (["executor_path": true], #"option "executor_path" is true: \#(absoluteFile)"#),
        (
            ["executor_path": .string([0x2F, 0xFF])],
            #"option "executor_path" is (2 bytes that are not UTF-8): \#(absoluteFile)"#
        ),
        (["state_dir": "run"], #"option "state_dir" is "run": \#(absoluteDirectory)"#),
        (["state_dir": "//"], #"option "state_dir" is "//": \#(absoluteDirectory)"#),
        (["state_dir": 7], #"option "state_dir" is 7: \#(absoluteDirectory)"#),
        ([1, 2], "is [1, 2]: must be a map of options"),
        ([7: true], "has an option named 7: names must be text"),
        ([.string([0xFF]): true], "has an option named (1 bytes that are not UTF-8): names must be text"),
        (
            ["state_dir": "/a", "state_dir": "/b"],
            #"not valid MessagePack: at byte 14: expected a key that is new in its map, but "state_dir" was there before"#
        ),
    ]

    @Test(arguments: wrong)
    func aWrongValueIsNamedWithItsOption(value: MessagePackValue, message: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try PluginConfiguration(messagePack: value.encoded)
        }
        #expect(error?.description == "plugin config: " + message)
    }

    @Test func bytesThatAreNoMessagePackAreAnError() {
        let error = #expect(throws: ConfigurationError.self) { try PluginConfiguration(messagePack: [0x81, 0xA5]) }
        #expect(
            error?.description
                == "plugin config: not valid MessagePack: at byte 0: expected a map of 1 pairs, at least 2 bytes, "
                + "but only 1 are left")
    }

    /// The defaults that the host fills in are those that the plugin has of its own.
    @Test func theSchemaAgreesWithTheDefaults() {
        let defaults = PluginConfiguration()
        let literals = Dictionary(
            uniqueKeysWithValues: PluginConfiguration.schema.map { ($0.name, $0.defaultLiteral) })
        #expect(literals["unveil_defaults"] == "\(defaults.unveilDefaults)")
        #expect(literals["unveil_by_task"] == "\(defaults.unveilByTask)")
        #expect(literals["unveil_paths"] == "[]")
        #expect(literals["state_dir"] == "\"\(defaults.stateDirectory)\"")
        #expect(literals["executor_path"] == .some(nil))
        #expect(PluginConfiguration.schema.allSatisfy { !$0.required })
    }
}
