import Glibc
import Planning
import Shared

/// What the plugin's options ask for and this host does not have.
///
/// Such an option does not fail SetConfig, which would stop an agent that has other drivers: it makes the driver
/// unhealthy, so that no task comes here, until the host has it.
package enum ConfigurationObstacles {
    /// The obstacles now, each as the sentence that a start fails with. Looks at files, and so may block.
    package static func onHost(_ configuration: PluginConfiguration) -> [String] {
        var texts = configuration.unusable.map(\.description)
        for rule in configuration.unveilPaths where access(rule.path, F_OK) != 0 {
            texts.append(
                SystemError(LaunchStage.unveil.attempt, rule.path).text + "; "
                    + StartError.namedBy(LaunchPlanning.operatorsRules, rule))
        }
        return texts
    }
}
