import Glibc
import Planning
import Shared

/// What the plugin's options ask for and this host does not have.
///
/// Such an option does not fail SetConfig, which would stop an agent that has other drivers: it makes the driver
/// unhealthy, so that no task comes here, until the host has it.
enum ConfigurationObstacles {
    /// The obstacles now, each as a sentence.
    /// - Parameters:
    ///   - clientDirectories: The client's, which no task reaches, as far as they are known.
    ///   - examining: Called with each path before it is looked at, which may block.
    static func onHost(
        _ configuration: PluginConfiguration, clientDirectories: [String] = [], examining: (ExaminedPath) -> Void
    ) -> [String] {
        var texts = configuration.unusable.map(\.description)
        guard !configuration.unveilPaths.isEmpty else { return texts }
        let hidden = HiddenPlaces([configuration.stateDirectory, PluginSockets.parent] + clientDirectories) {
            examining(ExaminedPath(path: $0, option: $0 == configuration.stateDirectory ? StateDirectory.option : nil))
        }
        for rule in configuration.unveilPaths {
            examining(ExaminedPath(path: rule.path, option: "unveil_paths"))
            if let directory = hidden.directory(atOrAbove: rule.path) {
                texts.append(
                    "cannot unveil \(rule.path): it leads into \(directory), which no task reaches, since the client's "
                        + "allocations and the driver's state are not for tasks; leave the rule out; "
                        + StartError.namedBy(LaunchPlanning.operatorsRules, rule))
            }
            if access(rule.path, F_OK) == 0 || rule.isOptional && [.noSuchFile, .notDirectory].contains(Errno.last) {
                continue
            }
            texts.append(
                SystemError(LaunchStage.unveil.attempt, rule.path).text + "; "
                    + StartError.namedBy(LaunchPlanning.operatorsRules, rule))
        }
        return texts
    }
}
