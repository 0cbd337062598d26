import Shared

/// What a job set in its task's config block.
package struct TaskOptions: Equatable, Sendable {
    /// The program to run.
    package enum Command: Equatable, Sendable {
        /// An absolute path.
        case path(String)
        /// A name without a slash, to be found in the task's PATH at launch.
        case name(String)
    }

    package let command: Command
    /// The arguments after the command itself.
    package let arguments: [String]
    /// What the job unveils besides what the operator did.
    package let unveil: [UnveilRule]
    /// For /proc/<pid>/oom_score_adj, 0 to 1000; nil where the job says nothing.
    package let oomScoreAdjustment: Int32?
    /// Absolute, or relative to the task's directory; nil for that itself.
    package var workDir: String?
    package var confinement = ConfinementOptions()
    package var root = RootOptions()
    package var signalTarget = SignalTarget.group

    package init(
        command: Command, arguments: [String], unveil: [UnveilRule], oomScoreAdjustment: Int32?, workDir: String? = nil,
        confinement: ConfinementOptions = ConfinementOptions(), root: RootOptions = RootOptions(),
        signalTarget: SignalTarget = .group
    ) {
        self.command = command
        self.arguments = arguments
        self.unveil = unveil
        self.oomScoreAdjustment = oomScoreAdjustment
        self.workDir = workDir
        self.confinement = confinement
        self.root = root
        self.signalTarget = signalTarget
    }
}

extension TaskOptions {
    /// - Parameters:
    ///   - bytes: `TaskConfig.msgpack_driver_config`.
    ///   - plugin: Says whether the job may unveil anything.
    ///   - taskDirectory: What relative paths to unveil are relative to.
    init(
        messagePack bytes: [UInt8], plugin: PluginConfiguration, taskDirectory: String
    ) throws(ConfigurationError) {
        let options = try OptionReader(.task, messagePack: bytes)
        command = try Self.command(in: options)
        arguments = try options.texts("args") ?? []
        oomScoreAdjustment = try options.wholeNumber("oom_score_adj", in: 0...1000).map { Int32($0) }
        confinement = try ConfinementOptions(options)
        root = try RootOptions(options)
        signalTarget = try options.signalTarget("signal_to") ?? .group

        workDir = try Self.workDir(in: options)

        let texts = try options.texts("unveil") ?? []
        if let first = texts.first, !plugin.unveilByTask {
            throw options.invalid(
                "unveil", item: 1, quoted(first),
                "the plugin option unveil_by_task is false on this client, so that tasks may not unveil paths; "
                    + "an operator can set unveil_by_task = true, or add the path to unveil_paths")
        }
        guard texts.count <= Self.maximumUnveil else {
            throw options.invalid(
                "unveil", "a list of \(texts.count) rules",
                "must be at most \(Self.maximumUnveil) rules: unveil a directory above the paths instead")
        }
        var rules: [UnveilRule] = []
        for (index, text) in texts.enumerated() {
            do {
                rules.append(try UnveilRule(parsing: text, relativeTo: taskDirectory))
            } catch {
                throw options.invalid("unveil", item: index + 1, quoted(text), error.reason)
            }
        }
        unveil = rules
    }

    /// Each rule takes the Executor time, which no limit of the task's covers, and a mount.
    static let maximumUnveil = 1024

    package static let schema = ownSchema + RootOptions.schema + ConfinementOptions.schema

    private static let ownSchema = [
        OptionSchema("command", "string", required: true),
        OptionSchema("args", "list(string)"),
        OptionSchema("unveil", "list(string)"),
        OptionSchema("oom_score_adj", "number"),
        OptionSchema("work_dir", "string"),
        OptionSchema("signal_to", "string"),
    ]

    private static func workDir(in options: OptionReader) throws(ConfigurationError) -> String? {
        let requirement =
            "must be the path of a directory: absolute, or relative to the task's directory, for example local/site"
        let text = try options.text("work_dir", requirement: requirement)
        if let text, text.isEmpty || text.utf8.count > MountDestination.maximumLength {
            throw options.invalid("work_dir", quoted(text), requirement)
        }
        return text
    }

    private static func command(in options: OptionReader) throws(ConfigurationError) -> Command {
        let requirement =
            "must be an absolute path, for example ${NOMAD_TASK_DIR}/server, or a bare name to be found in PATH"
        guard let text = try options.text("command", requirement: requirement) else {
            throw ConfigurationError(
                scope: options.scope, problem: .missing(option: "command", requirement: requirement))
        }
        if text.utf8.first == 0x2F { return .path(text) }
        if text.isEmpty || text.utf8.contains(0x2F) {
            throw options.invalid("command", quoted(text), requirement)
        }
        return .name(text)
    }
}
