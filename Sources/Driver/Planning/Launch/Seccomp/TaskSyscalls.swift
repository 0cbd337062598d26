import Glibc
import Shared

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
    var restrictsUDP = false

    private var restrictsTCP: Bool { restrictsTCPBind || restrictsTCPConnect }

    var rules: [SyscallRule] {
        var result: [SyscallRule] = []
        if isFiltered {
            for group in SyscallGroup.allCases where !opened.contains(group) {
                if group.openedBy.contains(where: { capabilities & $0.bit != 0 }) { continue }
                result += group == .sockets ? families.rules : group.rules
            }
        }
        if restrictsTCP { result += Self.waysAroundTCPRules }
        if restrictsUDP { result += Self.waysAroundUDPRules }
        if restrictsTCP || restrictsUDP {
            if !result.contains(where: { $0.call == SyscallNumber.ioUring[0] }) { result += SyscallGroup.ioUring.rules }
        }
        if restrictsTCPConnect { result += Self.waysAroundConnectRules }
        return result
    }

    /// Whether calls that this release does not know are not there for the task, either.
    var closesUnknownNumbers: Bool { isFiltered && !opened.contains(.newer) }

    private var families: SocketFamilies {
        SocketFamilies(opensVsock: opened.contains(.vsock), capabilities: capabilities)
    }

    /// The last filter that was made: tasks of one configuration mostly have the same.
    private static let last = Mutex<(syscalls: TaskSyscalls, filter: SeccompFilter?)?>(nil)

    /// Nil where nothing is denied.
    var filter: SeccompFilter? {
        Self.last.withLock { last in
            if let last, last.syscalls == self { return last.filter }
            let filter = makeFilter()
            last = (self, filter)
            return filter
        }
    }

    private func makeFilter() -> SeccompFilter? {
        let rules = rules
        if rules.isEmpty && !closesUnknownNumbers { return nil }
        return SeccompFilter(rules, closingUnknownNumbers: closesUnknownNumbers, on: .native)
    }

    // Numbers of uapi linux/in.h and linux/socket.h.
    private static let protocolMPTCP: UInt32 = 262
    private static let familyRDS: UInt32 = 21
    private static let familySMC: UInt32 = 43
    private static let familyRxRPC: UInt32 = 33
    private static let protocolUDPLite: UInt32 = 136
    private static let fastOpen: UInt32 = 0x2000_0000

    /// Sockets that speak TCP on the wire and that Landlock does not take for TCP. Programs that try
    /// MPTCP first, as those in Go do, go on with TCP.
    private static let waysAroundTCPRules = [
        SyscallRule(.socket, where: .equals(argument: 2, protocolMPTCP), error: EPROTONOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 2, SocketFamilies.protocolSMC), error: EPROTONOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 0, familySMC), error: EAFNOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 0, familyRDS), error: EAFNOSUPPORT),
    ]

    /// Sockets that speak UDP, or much the same, on the wire and that Landlock does not take for UDP.
    private static let waysAroundUDPRules = [
        SyscallRule(.socket, where: .equals(argument: 2, protocolUDPLite), error: EPROTONOSUPPORT),
        SyscallRule(.socket, where: .equals(argument: 0, familyRxRPC), error: EAFNOSUPPORT),
    ]

    /// MSG_FASTOPEN connects without connect(2), which is where Landlock looks.
    private static let waysAroundConnectRules = [
        SyscallRule(.sendto, where: .anyBit(argument: 3, of: fastOpen), error: EOPNOTSUPP),
        SyscallRule(.sendmsg, where: .anyBit(argument: 2, of: fastOpen), error: EOPNOTSUPP),
        SyscallRule(.sendmmsg, where: .anyBit(argument: 3, of: fastOpen), error: EOPNOTSUPP),
    ]
}
