import CGRPC
import CLinux
import EventLoop
import Glibc
import HCLog
import Shared

/// The server's unix socket: takes in connections and gives those that are admitted to gRPC, whose own
/// listener would serve whoever connects.
package final class RPCListener: Sendable {
    /// Why a connection is not wanted; nil where it is. Called on the reactor's thread: must not block.
    package typealias Admission = @Sendable (_ connection: borrowing OwnedDescriptor) -> String?

    private struct State {
        var watch: Reactor.Watch?
        var closed = false
        var refusals = RepeatLimit(period: RPCListener.quietNanoseconds)
        var failures = RepeatLimit(period: RPCListener.quietNanoseconds)
        /// How often connections could not be taken in, until they can be again.
        var attempts = 0
    }

    /// Connections taken in a row before other work of the reactor's has its turn.
    private static let batch = 16
    /// Out of descriptors or memory, the listener tries again after this.
    private static let pauseNanoseconds: UInt64 = 100_000_000
    /// Clients that are refused again and again must not fill the log.
    private static let quietNanoseconds: UInt64 = 10_000_000_000

    private let socket: OwnedDescriptor
    private let server: CoreObject
    private let reactor: Reactor
    private let admission: Admission
    private let log: Logger
    private let state = Mutex(State())

    /// Binds a socket that only this user can connect to; connections wait until `begin`.
    init(
        unixSocket path: String, server: CoreObject, reactor: Reactor, admission: @escaping Admission, log: Logger
    ) throws(SystemError) {
        self.server = server
        self.reactor = reactor
        self.admission = admission
        self.log = log
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let number = Glibc.socket(AF_UNIX, kind, 0)
        guard number >= 0 else { throw SystemError("make", "a unix socket") }
        socket = OwnedDescriptor(owning: number)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // One byte stays for the NUL.
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError("listen on the unix socket", path, Errno(rawValue: ENAMETOOLONG))
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafeBytes(of: &address) { bytes in
            bind(
                number, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard bound == 0, chmod(path, 0o600) == 0, Glibc.listen(number, SOMAXCONN) == 0 else {
            throw SystemError("listen on the unix socket", path)
        }
    }

    /// Begins to take in connections. After gRPC's server has started.
    func begin() throws(SystemError) {
        let watch = try reactor.watch(socket.number) { [self] in acceptSome() }
        state.withLock { $0.watch = watch }
    }

    /// Takes in no more. To be called before gRPC's server is told to shut down.
    func close() {
        let watch = state.withLock { state in
            state.closed = true
            defer { state.watch = nil }
            return state.watch
        }
        if let watch { reactor.unwatch(watch, socket.number) }
    }

    private func acceptSome() {
        for _ in 0..<Self.batch {
            let number = exec2_accept(socket.number)
            guard number >= 0 else {
                switch Errno.last {
                case .wouldBlock: return endShortage()
                // The client has left already (accept(2), "Error handling").
                case .interrupted, Errno(rawValue: ECONNABORTED): continue
                case let errno: return pause(errno.text)
                }
            }
            endShortage()
            serve(OwnedDescriptor(owning: number))
        }
    }

    private func serve(_ connection: consuming OwnedDescriptor) {
        if let reason = admission(connection) {
            refuse(reason)
            return
        }
        // gRPC closes what it is given.
        let number = exec2_duplicate(connection.number, 0)
        guard number >= 0 else {
            let error = Errno.last.text
            if let count = state.withLock({ $0.failures.occurrence(at: exec2_monotonic()) }) {
                log.warn("cannot take in a connection", ["error": error, "connections": count])
            }
            return
        }
        let taken = state.withLock { state in
            guard !state.closed else { return false }
            let credentials = grpc_insecure_server_credentials_create()
            grpc_server_add_channel_from_fd(server.pointer, number, credentials)
            grpc_server_credentials_release(credentials)
            return true
        }
        if !taken { _ = Glibc.close(number) }
    }

    private func refuse(_ reason: String) {
        let refused = state.withLock { $0.refusals.occurrence(at: exec2_monotonic()) }
        guard let refused else { return }
        log.warn("refused a connection to the plugin's socket", ["reason": reason, "connections": refused])
    }

    /// The kernel lacks something, and may lack it for a while: to go on at once would be to spin.
    private func pause(_ error: String) {
        let (watch, isFirst) = state.withLock { state in
            state.attempts += 1
            defer { state.watch = nil }
            return (state.watch, state.attempts == 1)
        }
        if isFirst { log.warn("cannot take in connections for a moment", ["error": error]) }
        if let watch { reactor.unwatch(watch, socket.number) }
        _ = reactor.after(Self.pauseNanoseconds) { [self] in resume() }
    }

    private func resume() {
        if state.withLock({ $0.closed }) { return }
        do throws(SystemError) {
            try begin()
        } catch {
            pause(error.text)
        }
    }

    private func endShortage() {
        let attempts = state.withLock { state in
            defer { state.attempts = 0 }
            return state.attempts
        }
        if attempts > 0 { log.info("connections are taken in again", ["failed_attempts": attempts]) }
    }
}
