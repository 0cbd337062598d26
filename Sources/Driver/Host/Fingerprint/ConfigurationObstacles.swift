import Glibc
import Planning
import Shared

/// What the plugin's options ask for and this host does not have.
///
/// Such an option does not fail SetConfig, which would stop an agent that has other drivers: it makes the driver
/// unhealthy, so that no task comes here, until the host has it.
enum ConfigurationObstacles {
    /// The obstacles now, each as the sentence that a start fails with.
    /// - Parameter examining: Called with each path before it is looked at, which may block.
    static func onHost(_ configuration: PluginConfiguration, examining: (ExaminedPath) -> Void) -> [String] {
        var texts = configuration.unusable.map(\.description)
        for rule in configuration.unveilPaths {
            examining(ExaminedPath(path: rule.path, option: "unveil_paths"))
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
