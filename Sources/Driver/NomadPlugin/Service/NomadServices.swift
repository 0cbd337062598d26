import EventLoop
import GRPCServer
import HCLog
import Shared
import Supervision

/// The services of the plugin proper: BasePlugin and Driver.
package enum NomadServices {
    /// Adds them to a server that has go-plugin's own already. What is returned is to be called when the server has
    /// ended.
    package static func register(on server: RPCServer, reactor: Reactor) throws(SystemError) -> @Sendable () -> Void {
        let log = Logger(name: "exec2")
        let settings = DriverSettings()
        let table = TaskTable(reactor: reactor, log: log)
        let sweep = StateSweep(settings: settings, table: table, log: log)
        let configured: @Sendable () -> Void = {
            // What it was made by may be another now.
            table.dismissStandby()
            table.tellDenials(settings.current.configuration.confinement.denialEvents)
            sweep.begin()
        }
        BasePluginService(settings: settings, configured: configured, log: log).register(on: server)
        let stats = try StatsService(settings: settings)
        DriverService(settings: settings, table: table, stats: stats, log: log).register(on: server)
        // With it goes the cgroup of the Executors, where no task needs that any more.
        return table.close
    }
}
