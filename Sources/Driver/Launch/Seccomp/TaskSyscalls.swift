import Glibc

/// Which system calls a task is denied.
struct TaskSyscalls: Equatable, Sendable {
    /// Off: only what other options need is denied.
    let isFiltered: Bool
    /// Groups that the operator allows and the job asks for.
    let opened: Set<SyscallGroup>
    /// Every capability that the task can have.
    let capabilities: UInt64
    let restrictsTCPBind: Bool
    let restrictsTCPConnect: Bool

    private var restrictsTCP: Bool { restrictsTCPBind || restrictsTCPConnect }

    var rules: [SyscallRule] {
        var result: [SyscallRule] = []
        if isFiltered {
            for group in SyscallGroup.allCases where !opened.contains(group) {
                if group.openedBy.contains(where: { capabilities & $0.bit != 0 }) { continue }
                result += group.rules
            }
        }
        if restrictsTCP {
            result += Self.waysAroundTCPRules
            if !result.contains(where: { $0.call == SyscallNumber.ioUring[0] }) { result += SyscallGroup.ioUring.rules }
        }
        if restrictsTCPConnect { result += Self.waysAroundConnectRules }
        return result
    }

    /// Nil where nothing is denied.
    var filter: SeccompFilter? {
        let rules = rules
        return rules.isEmpty ? nil : SeccompFilter(rules, on: .native)
    }

    // Numbers of uapi linux/in.h and linux/socket.h.
    private static let protocolMPTCP: UInt32 = 262
    private static let protocolSMC: UInt32 = 256
    private static let familyRDS: UInt32 = 21
    private static let familySMC: UInt32 = 43
    private static let fastOpen: UInt32 = 0x2000_0000

    /// Sockets that speak TCP on the wire and that Landlock does not take for TCP. Programs that try
    /// MPTCP first, as those in Go do, go on with TCP.
    private static let waysAroundTCPRules = [
        SyscallRule(.socket, where: .equals(argument: 2, protocolMPTCP), EPROTONOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 2, protocolSMC), EPROTONOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 0, familySMC), EAFNOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 0, familyRDS), EAFNOSUPPORT),
    ]

    /// MSG_FASTOPEN connects without connect(2), which is where Landlock looks.
    private static let waysAroundConnectRules = [
        SyscallRule(.sendto, where: .anyBit(argument: 3, of: fastOpen), EOPNOTSUPP),
        SyscallRule(.sendmsg, where: .anyBit(argument: 2, of: fastOpen), EOPNOTSUPP),
        SyscallRule(.sendmmsg, where: .anyBit(argument: 3, of: fastOpen), EOPNOTSUPP),
    ]
}
