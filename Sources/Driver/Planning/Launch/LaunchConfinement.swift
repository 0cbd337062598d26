import CMessages
import Messages
import Shared

/// What a task is held to beyond paths, as the launch request bears it.
struct LaunchConfinement: Equatable, Sendable {
    /// All that the task may ever have, one bit each.
    var capabilities: UInt64 = 0
    var ambientCapabilities: UInt64 = 0
    var resourceLimits: [ResourceLimit] = []
    var scopesAbstractSockets = true
    /// Nil for all ports.
    var tcpBind: [UInt16]?
    var tcpConnect: [UInt16]?
    var udpBind: [UInt16]?
    var udpConnect: [UInt16]?
    /// Whether unix sockets stay open by path, whatever the rules are.
    var opensPathnameSockets = false
    var logsDenials = false
    var quietPaths: [String] = []
    var seccompFilter: SeccompFilter?

    /// Whether an Executor that does not know rules for UDP would leave some out.
    var restrictsUDP: Bool { udpBind != nil || udpConnect != nil }
}

extension Exec2__Executor__LaunchRequest {
    mutating func set(_ confinement: LaunchConfinement, _ arena: MessageArena) {
        capabilities = confinement.capabilities
        ambient_capabilities = confinement.ambientCapabilities
        self[.resourceLimits] = arena.messages(
            Exec2__Executor__ResourceLimit.self, confinement.resourceLimits
        ) {
            $0.resource = $1.kind.rawValue
            $0.soft = $1.soft
            $0.hard = $1.hard
        }
        scope_abstract_sockets = confinement.scopesAbstractSockets.wire
        restrict_tcp_bind = (confinement.tcpBind != nil).wire
        self[.tcpBind] = arena.values((confinement.tcpBind ?? []).map { UInt32($0) })
        restrict_tcp_connect = (confinement.tcpConnect != nil).wire
        self[.tcpConnect] = arena.values((confinement.tcpConnect ?? []).map { UInt32($0) })
        restrict_udp_bind = (confinement.udpBind != nil).wire
        self[.udpBind] = arena.values((confinement.udpBind ?? []).map { UInt32($0) })
        restrict_udp_connect = (confinement.udpConnect != nil).wire
        self[.udpConnect] = arena.values((confinement.udpConnect ?? []).map { UInt32($0) })
        open_pathname_sockets = confinement.opensPathnameSockets.wire
        log_denials = confinement.logsDenials.wire
        self[.quietPaths] = arena.strings(confinement.quietPaths)
        seccomp_filter = arena.bytes(confinement.seccompFilter?.bytes ?? [])
    }
}

extension Exec2__Executor__ResourceLimit: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__resource_limit__init(message)
    }
}
