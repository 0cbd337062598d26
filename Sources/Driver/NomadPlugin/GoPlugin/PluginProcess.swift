import EventLoop
import GRPCServer
import Glibc
import HCLog
import Shared
import Supervision

/// The life of the process as a plugin: from the handshake to the end of the server.
package struct PluginProcess: Sendable {
    package let log: Logger
    /// See `SocketSweep`.
    package let sweptPlaces: [String]
    /// Adds the plugin's own services to the server, before it listens; returns what is to be called when
    /// that has ended.
    package let registerServices: @Sendable (RPCServer, Reactor) throws(SystemError) -> @Sendable () -> Void

    package init(
        log: Logger, sweptPlaces: [String],
        registerServices: @escaping @Sendable (RPCServer, Reactor) throws(SystemError) -> @Sendable () -> Void
    ) {
        self.log = log
        self.sweptPlaces = sweptPlaces
        self.registerServices = registerServices
    }

    /// Serves until the agent or SIGTERM ends it. The first thread must call this, before others exist.
    package func serve(socketPlace: SocketPlace, announcesMultiplexing: Bool) throws(PluginError) {
        PluginSignals.prepare()
        MemoryReturn.useOneHeap()
        DescriptorLimit.raise()
        LowDescriptors.shared.reserve()
        let output = try HandshakeOutput()
        CoreLog.redirect()
        let directory = try SocketDirectory(below: socketPlace.prepare(log: log))
        defer { directory.remove() }
        SocketSweep.run(in: sweptPlaces, log: log)
        let server = RPCServer(log: log.named("rpc"))
        PluginServices(log: log).register(on: server)
        let reactor: Reactor
        let ended: @Sendable () -> Void
        do throws(SystemError) {
            reactor = try Reactor()
            ended = try registerServices(server, reactor)
        } catch {
            throw PluginError(error.text)
        }
        do throws(RPCServerError) {
            try server.listen(unixSocket: directory.socket, on: reactor, admission: SocketPeer.refusal(of:))
        } catch {
            throw PluginError(error.description)
        }
        try PluginSignals.onTermination {
            log.info("SIGTERM: the plugin ends, its tasks go on")
            server.shutdown()
        }
        try output.announce(
            PluginHandshake.line(socket: directory.socket, announcesMultiplexing: announcesMultiplexing))
        server.run()
        ended()
    }
}
