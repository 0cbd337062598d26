import Planning
import Shared

/// What SetConfig has set, for all calls that come after it.
package final class DriverSettings: Sendable {
    package struct Values: Sendable {
        package var configuration = PluginConfiguration()
        package var topology = ClientTopology()
        /// Grows with each SetConfig.
        package var version = 0
    }

    private let state = Mutex(Values())

    package init() {}

    package var current: Values { state.withLock { $0 } }

    /// Of the host's processor, as the client has told it.
    package var megahertzPerCore: UInt64? { state.withLock { $0.topology.megahertzPerCore } }

    package func set(_ configuration: PluginConfiguration, _ topology: ClientTopology) {
        state.withLock { values in
            values.configuration = configuration
            values.topology = topology
            values.version += 1
        }
    }
}
