import Planning
import Shared

/// What `run` was told: its command line, checked as far as that is possible without looking at the host.
struct RunOptions: Equatable, Sendable {
    var unveilDefaults = true
    var unveil: [UnveilRule] = []
    /// Nil: a dynamic user that no account stands behind.
    var user: String?
    /// 0 is no limit, as everywhere.
    var memoryMB: Int64 = 0
    /// The maximum in total, where `memoryMB` is what the kernel tries to leave the task; −1 is no limit.
    var memoryMaxMB: Int64 = 0
    var cpuMHz: Int64 = 0
    /// The path of a network namespace; nil for the host's.
    var networkNamespace: String?
    var environment: [String: String] = [:]
    var volumes: [VolumeRequest] = []
    /// Absolute; nil for the task's own directory.
    var workDir: String?
    var oomScoreAdjustment: Int32 = 0
    var signalTarget = SignalTarget.group
    var killTimeoutSeconds: Int64 = 5
    var executorPath: String?
    /// Where the directory of the pipes between driver and Executor is made.
    var stateParent = "/run"
    var isVerbose = false
    /// Whether to tell what the command is denied, and the rules that would allow it.
    var traces = false
    var suggests = false
    /// Whether a command that fails is run again with what was suggested.
    var retries = false
    /// Nil: where stdin and stdout are one.
    var terminal: Bool?
    /// Without an operator who would have to allow anything: who may run this is root.
    var confinement = ConfinementOptions()
    var root = RootOptions()
    var seccomp = true
    var abstractSockets = false
    var pathnameSockets = false
    var logDenials = false
    var command = TaskOptions.Command.name("")
    var arguments: [String] = []
}

extension RunOptions {
    /// Every option, in the order of the help.
    static let table = sandboxTable + confinementTable + toolTable

    private static let sandboxTable = [
        CommandOption(
            name: "unveil", letter: "u", value: "MODES:PATH",
            help:
                "let the command reach a path: any of r (read), w (write), x (execute) and c (create), as in "
                + "r:/etc/mime.types, or r?:/etc/mime.types where it may be missing; may be given often",
            completes: .rule, isRepeatable: true),
        CommandOption(
            name: "no-defaults",
            help: "unveil nothing by default: neither programs and libraries nor the command's own directories"),
        CommandOption(
            name: "user", value: "NAME",
            help:
                "run as this user; default: one of nomad-90000 to nomad-99999 that no other run on this host has, without an "
                + "account",
            completes: .users),
        CommandOption(
            name: "memory", letter: "m", value: "MB", help: "memory that the command may use; 0: no limit"),
        CommandOption(
            name: "memory-max", value: "MB",
            help:
                "the maximum in total; --memory is then what the kernel tries to leave it when memory is short; "
                + "-1: no limit"),
        CommandOption(
            name: "cpu", value: "MHZ", help: "processor time that the command may use; 0: no limit"),
        CommandOption(
            name: "network-namespace", value: "NAME",
            help: "run in this network namespace: a name of \"ip netns\", or a path; default: the host's",
            completes: .networkNamespaces),
        CommandOption(
            name: "env", letter: "e", value: "NAME=VALUE",
            help:
                "set a variable; NAME alone takes over the value that it has here. The command gets no others "
                + "but PATH, HOME and those that run sets itself: \(ownVariables.joined(separator: ", "))",
            completes: .variables, isRepeatable: true),
        CommandOption(
            name: "volume", value: "SOURCE:PATH[:ro]",
            help:
                "mount a file or directory of this host at PATH, read-only with :ro; a PATH without a / in front is in "
                + "the command's own directory and made there; may be given often", completes: .files,
            isRepeatable: true),
        CommandOption(
            name: "work-dir", value: "DIRECTORY",
            help:
                "start the command in this directory, which is not unveiled by that; default: a new directory of its own",
            completes: .directories),
        CommandOption(
            name: "private-tmp", help: "mount the command's own tmp directory at /tmp, in place of the host's"),
        CommandOption(
            name: "user-files",
            help: "give the command an /etc/passwd and an /etc/group of its own, with root and its user in them"),
        CommandOption(
            name: "shm-size", value: "SIZE",
            help: "the size of /dev/shm: bytes, or a number with k, m or g, as in 256m; default: 64m"),
        CommandOption(
            name: "oom-score-adj", value: "N",
            help: "0 to 1000: how readily the kernel kills the command when memory is short"),
    ]

    private static let toolTable = [
        CommandOption(
            name: "tty", letter: "t",
            help: "give the command a terminal; default: where stdin and stdout are terminals"),
        CommandOption(name: "no-tty", letter: "T", help: "give it none"),
        CommandOption(
            name: "signal-to", value: "TARGET",
            help:
                "which processes get the signals that run gets: group (the command and its process group, the default) "
                + "or process (the command alone)",
            completes: .words(SignalTarget.allCases.map(\.rawValue))),
        CommandOption(
            name: "kill-timeout", value: "SECONDS",
            help: "when stopped, kill what still runs after this; default: 5"),
        CommandOption(
            name: "trace",
            help: "tell on stderr what the command is denied, as it happens, and the rule or option that would allow it"
        ),
        CommandOption(name: "suggest", help: TraceOptions.suggestion.help + "; with --trace"),
        CommandOption(
            name: "retry",
            help:
                "while the command fails, run it again with those suggestions that give nothing away, at most "
                + "\(RunTries.maximum) tries in all; with --suggest"),
        CommandOption(
            name: "executor", value: "PATH", help: "where nomad-driver-exec2-executor is", completes: .files),
        CommandOption(
            name: "state-dir", value: "DIRECTORY", help: "where the run keeps its pipes; default: /run",
            completes: .directories),
        CommandOption(name: "verbose", letter: "v", help: "show the driver's own log on stderr"),
        CommandOption(name: "help", letter: "h", help: "show this help"),
    ]

    /// Variables of the command's that `--env` cannot set.
    static let ownVariables = [
        "USER", "TMPDIR", "NOMAD_TASK_DIR", "NOMAD_SECRETS_DIR", "NOMAD_ALLOC_DIR",
    ]

    /// Reads the words after `run`; nil where they ask for help.
    /// - Parameters:
    ///   - directory: The current directory, which relative paths are relative to.
    ///   - environment: What `--env NAME` takes values from.
    init?(_ words: [String], directory: String, environment: [String: String]) throws(UsageError) {
        let (found, rest) = try OptionScanner(options: Self.table).scan(words)
        if found.contains(where: { $0.name == "help" }) { return nil }
        for option in found { try take(option.name, option.value ?? "", directory, environment) }
        if memoryMaxMB > 0 && memoryMaxMB < memoryMB {
            throw UsageError("--memory-max \(memoryMaxMB) is below --memory \(memoryMB): it must not be")
        }
        if suggests && !traces { throw UsageError("--suggest tells what a trace has shown: add --trace") }
        if retries && !suggests {
            throw UsageError("--retry runs the command again with what is suggested: add --suggest")
        }
        guard let command = rest.first, !command.isEmpty else {
            throw UsageError("there is no command to run")
        }
        self.command =
            command.utf8.contains(UInt8(ascii: "/"))
            ? .path(Self.absolute(command, in: directory)) : .name(command)
        arguments = Array(rest.dropFirst())
    }

    /// Adds options to those of the command line.
    /// - Parameter words: With absolute paths.
    mutating func add(_ words: [String]) throws(UsageError) {
        for option in try OptionScanner(options: Self.table).scan(words).found {
            try take(option.name, option.value ?? "", "/", [:])
        }
    }

    private mutating func take(
        _ option: String, _ value: String, _ directory: String, _ environment: [String: String]
    ) throws(UsageError) {
        switch option {
        case "unveil":
            do throws(UnveilRuleError) {
                let rule = try UnveilRule(parsing: value, relativeTo: directory)
                let path = Substring(value.utf8.drop { $0 != UInt8(ascii: ":") }.dropFirst())
                unveil.append(
                    UnveilRule(
                        modes: rule.modes, path: Self.absolute(String(path), in: directory),
                        isOptional: rule.isOptional))
            } catch {
                throw UsageError("--unveil \(quoted(value)): \(error.reason)")
            }
        case "no-defaults": unveilDefaults = false
        case "user": user = try utf8(option, try text(option, value))
        case "memory": memoryMB = try number(option, value, 0...Int64.max >> 20)
        case "memory-max": memoryMaxMB = try number(option, value, -1...Int64.max >> 20)
        case "cpu": cpuMHz = try number(option, value, 0...1_000_000_000)
        case "network-namespace":
            let name = try text(option, value)
            networkNamespace =
                name.utf8.contains(UInt8(ascii: "/")) ? Self.absolute(name, in: directory) : "/run/netns/" + name
        case "env": try set(value, environment)
        case "volume": volumes.append(try volume(value, directory))
        case "work-dir": workDir = Self.absolute(try text(option, value), in: directory)
        case "private-tmp": root.privateTmp = true
        case "user-files": root.userFiles = true
        case "shm-size":
            guard let bytes = RootOptions.sharedMemoryBytes(value) else {
                throw UsageError("--shm-size is \(quoted(value)): \(RootOptions.sizeRequirement)")
            }
            root.sharedMemoryBytes = bytes
        case "oom-score-adj": oomScoreAdjustment = Int32(try number(option, value, 0...1000))
        case "signal-to":
            guard let target = SignalTarget(rawValue: value) else {
                throw UsageError("--signal-to is \(quoted(value)): \(SignalTarget.requirement)")
            }
            signalTarget = target
        case "kill-timeout": killTimeoutSeconds = try number(option, value, 0...31_536_000)
        case "executor": executorPath = try utf8(option, Self.absolute(try text(option, value), in: directory))
        case "state-dir": stateParent = try utf8(option, Self.absolute(try text(option, value), in: directory))
        case "verbose": isVerbose = true
        case "trace": traces = true
        case "suggest": suggests = true
        case "retry": retries = true
        case "tty": terminal = true
        case "no-tty": terminal = false
        case _ where try takeConfinement(option, value): break
        default: throw UsageError("unknown option \(quoted("--" + option))")
        }
    }

    private func volume(_ text: String, _ directory: String) throws(UsageError) -> VolumeRequest {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map {
            String(Substring($0))
        }
        guard parts.count == 2 || parts.count == 3 && parts[2] == "ro", !parts[0].isEmpty, !parts[1].isEmpty else {
            throw UsageError("--volume \(quoted(text)): must be SOURCE:PATH or SOURCE:PATH:ro")
        }
        return VolumeRequest(
            taskPath: parts[1], hostPath: Self.absolute(parts[0], in: directory), readOnly: parts.count == 3)
    }

    private mutating func set(_ assignment: String, _ environment: [String: String]) throws(UsageError) {
        // By bytes: to Swift, = and a combining mark behind it are one character.
        let parts = assignment.utf8.split(
            separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false
        ).map { String(Substring($0)) }
        let name = parts[0]
        if name.isEmpty { throw UsageError("--env \(quoted(assignment)): there is no name before the =") }
        if Self.ownVariables.contains(name) {
            throw UsageError("--env \(quoted(assignment)): \(name) is one of those that run sets itself")
        }
        if parts.count == 2 {
            self.environment[name] = parts[1]
        } else if let value = environment[name] {
            self.environment[name] = value
        } else {
            throw UsageError(
                "--env \(quoted(name)): there is no such variable here; give its value as \(name)=VALUE")
        }
    }

    /// What this program itself uses as text.
    private func utf8(_ option: String, _ value: String) throws(UsageError) -> String {
        if ByteText.isUTF8(value) { return value }
        throw UsageError("--\(option) \(quoted(value)) is not UTF-8, which it must be")
    }

    func text(_ option: String, _ value: String) throws(UsageError) -> String {
        if value.isEmpty { throw UsageError("--\(option) is empty") }
        return value
    }

    func number(
        _ option: String, _ value: String, _ range: ClosedRange<Int64>
    ) throws(UsageError) -> Int64 {
        if let number = Int64(value), range.contains(number) { return number }
        throw UsageError(
            "--\(option) is \(quoted(value)): must be a whole number from \(range.lowerBound) to \(range.upperBound)"
        )
    }

    /// The current directory has no symlinks in it, so that those above it are found by its text. In the command's root
    /// there are directories only on the way to what is unveiled: one that a path leaves again by `..` may be missing.
    private static func absolute(_ path: String, in directory: String) -> String {
        if path.utf8.first == UInt8(ascii: "/") { return path }
        var above = directory.pathComponents
        var parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)[...]
        while let first = parts.first.map({ Substring($0) }), ["", ".", ".."].contains(first) {
            if first == ".." { _ = above.popLast() }
            parts.removeFirst()
        }
        return "/" + (above + parts.map { Substring($0) }).joined(separator: "/")
    }
}
