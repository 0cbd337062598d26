import Shared
import Testing

@testable import Commands
@testable import Planning

@Suite struct RunOptionsTests {
    private func options(_ words: String...) throws(UsageError) -> RunOptions? {
        try RunOptions(words, directory: "/home/somebody", environment: ["HERE": "a value", "EMPTY": ""])
    }

    private func mistake(_ words: String...) -> String? {
        let error = #expect(throws: UsageError.self) {
            try RunOptions(words, directory: "/", environment: ["HERE": "a value"])
        }
        return error?.text
    }

    @Test func aCommandAloneHasTheDefaults() throws {
        var expected = RunOptions()
        expected.command = .name("true")
        #expect(try options("true") == expected)
        #expect(expected.unveilDefaults)
        #expect(expected.killTimeoutSeconds == 5)
    }

    @Test func theLastWordOnTheTerminalCounts() throws {
        #expect(try options("true")?.terminal == nil)
        #expect(try options("--tty", "true")?.terminal == true)
        #expect(try options("-T", "true")?.terminal == false)
        #expect(try options("-t", "--no-tty", "true")?.terminal == false)
    }

    @Test func everyOptionIsTaken() throws {
        let found = try options(
            "-u", "r:/etc/passwd", "--unveil", "rwxc:data", "--no-defaults", "--user", "nobody", "--memory",
            "64",
            "--memory-max", "-1", "--cpu", "500", "--network-namespace", "blue", "-e", "A=b=c", "--env",
            "HERE",
            "--env", "EMPTY", "--volume", "data:/data:ro", "--volume=/srv/x:own/x", "--work-dir", "/srv",
            "--private-tmp", "--user-files", "--shm-size", "2g", "--oom-score-adj", "1000", "--signal-to",
            "process", "--kill-timeout", "0",
            "--executor",
            "bin/executor", "--state-dir", "state", "--verbose", "--", "-x", "--help", "")
        var expected = RunOptions()
        expected.unveil = [
            UnveilRule(modes: .read, path: "/etc/passwd"),
            UnveilRule(modes: .all, path: "/home/somebody/data"),
        ]
        expected.unveilDefaults = false
        expected.user = "nobody"
        expected.memoryMB = 64
        expected.memoryMaxMB = -1
        expected.cpuMHz = 500
        expected.networkNamespace = "/run/netns/blue"
        expected.environment = ["A": "b=c", "HERE": "a value", "EMPTY": ""]
        expected.volumes = [
            VolumeRequest(taskPath: "/data", hostPath: "/home/somebody/data", readOnly: true),
            VolumeRequest(taskPath: "own/x", hostPath: "/srv/x"),
        ]
        expected.workDir = "/srv"
        expected.root.privateTmp = true
        expected.root.userFiles = true
        expected.root.sharedMemoryBytes = 2 << 30
        expected.oomScoreAdjustment = 1000
        expected.signalTarget = .process
        expected.killTimeoutSeconds = 0
        expected.executorPath = "/home/somebody/bin/executor"
        expected.stateParent = "/home/somebody/state"
        expected.isVerbose = true
        expected.command = .name("-x")
        expected.arguments = ["--help", ""]
        #expect(found == expected)
    }

    @Test func everyOptionOfTheTableIsKnown() throws {
        for option in RunOptions.table where option.name != "help" {
            let values = [
                "unveil": "r:/", "env": "A=1", "volume": "/a:/b", "cap-add": "chown", "cap-drop": "all",
                "ulimit": "core=0", "syscalls": "bpf", "shm-size": "64m", "signal-to": "group",
            ]
            let value = values[option.name] ?? "100"
            // Two that are nothing without others.
            let before = ["suggest": ["--trace"], "retry": ["--trace", "--suggest"]][option.name] ?? []
            #expect(throws: Never.self) {
                try RunOptions(
                    before + ["--" + option.name + (option.value == nil ? "" : "=" + value), "true"], directory: "/",
                    environment: [:])
            }
        }
    }

    @Test func helpAsksForNothingElse() throws {
        #expect(try options("--help") == nil)
        #expect(try options("-v", "-h", "true") == nil)
    }

    @Test(
        arguments: [
            ("sh", .name("sh")), ("/bin/sh", .path("/bin/sh")), ("./sh", .path("/home/somebody/sh")),
            ("bin/sh", .path("/home/somebody/bin/sh")), ("../sh", .path("/home/sh")),
            ("././.hidden", .path("/home/somebody/.hidden")), ("./../sh", .path("/home/sh")),
            ("../../../sh", .path("/sh")), ("a/../sh", .path("/home/somebody/a/../sh")),
            ("..sh/x", .path("/home/somebody/..sh/x")),
        ] as [(String, TaskOptions.Command)])
    func aCommandWithASlashIsAPath(word: String, command: TaskOptions.Command) throws {
        #expect(try options(word)?.command == command)
    }

    /// The directories above are not there for the command.
    @Test func relativePathsHaveNoDotsInFront() throws {
        let found = try #require(
            try options("-u", "r:../a", "-u", "rx:.", "-u", "r:..", "--work-dir", "..", "--volume", "../v:v", "x"))
        #expect(found.unveil.map(\.text) == ["r:/home/a", "rx:/home/somebody", "r:/home"])
        #expect(found.workDir == "/home" && found.volumes.first?.hostPath == "/home/v")
    }

    @Test func aNamespaceWithASlashIsAPath() throws {
        #expect(
            try options("--network-namespace", "/proc/1/ns/net", "x")?.networkNamespace == "/proc/1/ns/net")
        #expect(try options("--network-namespace", "a/b", "x")?.networkNamespace == "/home/somebody/a/b")
    }

    @Test func mistakesNameOptionAndValue() {
        #expect(mistake() == "there is no command to run")
        #expect(mistake("") == "there is no command to run")
        let number = "must be a whole number from 0 to 1000"
        for value in ["-1", "1001", "", "1.5", " 1", "0x10", "99999999999999999999"] {
            #expect(
                mistake("--oom-score-adj", value, "x") == "--oom-score-adj is \(quoted(value)): \(number)")
        }
        #expect(mistake("--memory", "-1", "x")?.hasPrefix("--memory is \"-1\": must be") == true)
        #expect(mistake("--memory-max", "-2", "x")?.contains("from -1 to ") == true)
        #expect(
            mistake("--memory", "64", "--memory-max", "63", "x")
                == "--memory-max 63 is below --memory 64: it must not be")
        #expect(mistake("--unveil", "q:/x", "x")?.hasPrefix("--unveil \"q:/x\": \"q\" is not a mode") == true)
        #expect(mistake("--env", "=x", "x") == "--env \"=x\": there is no name before the =")
        #expect(mistake("--env", "THERE", "x")?.contains("no such variable here") == true)
        for name in RunOptions.ownVariables {
            #expect(
                mistake("--env", name + "=x", "x")?.contains("\(name) is one of those that run sets itself")
                    == true)
        }
        for text in ["/srv", "/srv:", ":/data", "/srv:/data:rw", "/srv:/data:ro:x", ""] {
            #expect(
                mistake("--volume=" + text, "x")
                    == "--volume \"\(text)\": must be SOURCE:PATH or SOURCE:PATH:ro")
        }
        #expect(mistake("--shm-size", "1k", "x") == "--shm-size is \"1k\": " + RootOptions.sizeRequirement)
        for value in ["", "Process", "all"] {
            #expect(
                mistake("--signal-to", value, "x") == "--signal-to is \(quoted(value)): " + SignalTarget.requirement)
        }
        for option in ["user", "network-namespace", "work-dir", "executor", "state-dir"] {
            #expect(mistake("--\(option)=", "x") == "--\(option) is empty")
        }
    }
}
