import Shared

/// What the operator set in the plugin's block of the agent's configuration.
package struct PluginConfiguration: Equatable, Sendable {
    /// Whether tasks reach the default paths (`UnveilDefault`) and their own directories without being given them.
    package var unveilDefaults = true
    /// What every task may reach besides.
    package var unveilPaths: [UnveilRule] = []
    /// Whether a job may unveil paths of its own choice.
    package var unveilByTask = false
    /// Where the Executor is; nil to look for it in the usual places.
    package var executorPath: String?
    /// The directory of the tasks' state directories.
    package var stateDirectory = "/run/nomad-driver-exec2"
    /// Seconds after the plugin's configuration until a running task that no host has ever claimed is
    /// ended; 0: never.
    package var orphanGrace: UInt64 = 30
    /// Whether an Executor is kept ready for the next task, once a task has been started.
    package var standbyExecutor = true
    /// Which users tasks may run as.
    package var users = UserPolicy()
    /// What tasks are held to beyond paths.
    package var confinement = ConfinementPolicy()

    /// Options that could be read and cannot be met: SetConfig takes them, the driver is unhealthy, and starts fail.
    /// One that cannot be read fails SetConfig, and so stops the whole agent.
    package var unusable: [ConfigurationError] { confinement.unusable }

    /// Every option at its default.
    package init() {}

    /// - Parameter bytes: `SetConfigRequest.msgpack_config`; empty where the operator configured nothing.
    package init(messagePack bytes: [UInt8]) throws(ConfigurationError) {
        let options = try OptionReader(.plugin, messagePack: bytes)
        unveilDefaults = try options.bool("unveil_defaults") ?? unveilDefaults
        unveilByTask = try options.bool("unveil_by_task") ?? unveilByTask
        for (index, text) in (try options.texts("unveil_paths") ?? []).enumerated() {
            do {
                unveilPaths.append(try UnveilRule(parsing: text))
            } catch {
                throw options.invalid("unveil_paths", item: index + 1, quoted(text), error.reason)
            }
        }
        executorPath = try Self.path("executor_path", in: options, of: "a file")
        if let seconds = try options.wholeNumber("orphan_grace", in: 0...86_400) { orphanGrace = UInt64(seconds) }
        standbyExecutor = try options.bool("standby_executor") ?? standbyExecutor
        stateDirectory = try Self.path("state_dir", in: options, of: "a directory") ?? stateDirectory
        users = try UserPolicy(options)
        confinement = try ConfinementPolicy(options)
    }

    package static let schema = ownSchema + UserPolicy.schema + ConfinementPolicy.schema

    private static let ownSchema = [
        OptionSchema("unveil_defaults", "bool", defaultLiteral: "true"),
        OptionSchema("unveil_paths", "list(string)", defaultLiteral: "[]"),
        OptionSchema("unveil_by_task", "bool", defaultLiteral: "false"),
        OptionSchema("executor_path", "string"),
        OptionSchema("orphan_grace", "number", defaultLiteral: "30"),
        OptionSchema("standby_executor", "bool", defaultLiteral: "true"),
        OptionSchema("state_dir", "string", defaultLiteral: "\"/run/nomad-driver-exec2\""),
    ]

    private static func path(
        _ option: String, in options: OptionReader, of kind: String
    ) throws(ConfigurationError) -> String? {
        let requirement = "must be the absolute path of \(kind)"
        guard let path = try options.text(option, requirement: requirement) else { return nil }
        if path.utf8.first != 0x2F || path.utf8.allSatisfy({ $0 == 0x2F }) {
            throw options.invalid(option, quoted(path), requirement)
        }
        return path
    }
}
