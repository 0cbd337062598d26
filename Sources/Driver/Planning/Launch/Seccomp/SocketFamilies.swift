import Glibc

/// Which families of sockets, and which protocols of netlink, a task has. All others are as on a kernel without them: a
/// family brings a module of the kernel that ordinary programs never load, and local exploits came out of those again
/// and again (AF_ALG, AF_RXRPC, AF_TIPC, AF_KCM, AF_SMC, AF_RDS, AF_CAN, AF_BLUETOOTH, AF_NFC).
struct SocketFamilies: Equatable, Sendable {
    var opensVsock = false
    /// Every capability that the task can have.
    var capabilities: UInt64 = 0

    // Numbers of uapi linux/socket.h, linux/netlink.h and linux/in.h.
    private static let unix: UInt32 = 1
    private static let inet: UInt32 = 2
    private static let inet6: UInt32 = 10
    private static let netlink: UInt32 = 16
    private static let packet: UInt32 = 17
    static let vsock: UInt32 = 40
    static let protocolSMC: UInt32 = 256
    /// Addresses and routes, lists of sockets, SELinux's decisions, events of devices, and generic.
    private static let netlinkProtocols: [UInt32] = [0, 4, 7, 15, 16]
    private static let netlinkXfrm: UInt32 = 6
    private static let netlinkAudit: UInt32 = 9
    private static let netlinkFilter: UInt32 = 12

    private func has(_ capability: Capability) -> Bool { capabilities & capability.bit != 0 }

    /// The families that `socket` makes.
    var families: [UInt32] {
        [Self.unix, Self.inet, Self.inet6, Self.netlink] + (has(.netRaw) ? [Self.packet] : [])
            + (opensVsock ? [Self.vsock] : [])
    }

    /// The protocols that a netlink socket may have.
    var protocols: [UInt32] {
        Self.netlinkProtocols + (has(.netAdmin) ? [Self.netlinkXfrm, Self.netlinkFilter] : [])
            + ([.auditControl, .auditRead, .auditWrite].contains(where: has) ? [Self.netlinkAudit] : [])
    }

    /// The rules for the calls that make sockets.
    var rules: [SyscallRule] {
        [
            SyscallRule(.socket, where: .noneOf(argument: 0, families), error: EAFNOSUPPORT),
            SyscallRule(
                .socket, where: .equals(argument: 0, Self.netlink), .noneOf(argument: 2, protocols),
                error: EPROTONOSUPPORT),
            // SMC has a family of its own, and is a protocol of these as well.
            SyscallRule(
                .socket, where: .equals(argument: 0, Self.inet), .equals(argument: 2, Self.protocolSMC),
                error: EPROTONOSUPPORT),
            SyscallRule(
                .socket, where: .equals(argument: 0, Self.inet6), .equals(argument: 2, Self.protocolSMC),
                error: EPROTONOSUPPORT),
            SyscallRule(.socketpair, where: .noneOf(argument: 0, families), error: EAFNOSUPPORT),
        ]
    }
}
