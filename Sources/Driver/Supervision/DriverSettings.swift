import Synchronization

/// What SetConfig has set, for all calls that come after it.
final class DriverSettings: Sendable {
    struct Values: Sendable {
        var configuration = PluginConfiguration()
        var topology = ClientTopology()
        /// Grows with each SetConfig.
        var version = 0
    }

    private let state = Mutex(Values())

    var current: Values { state.withLock { $0 } }

    /// Of the host's processor, as the client has told it.
    var megahertzPerCore: UInt64? { state.withLock { $0.topology.megahertzPerCore } }

    func set(_ configuration: PluginConfiguration, _ topology: ClientTopology) {
        state.withLock { values in
            values.configuration = configuration
            values.topology = topology
            values.version += 1
        }
    }
}
