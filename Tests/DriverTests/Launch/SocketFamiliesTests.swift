import Glibc
import Testing

@testable import Planning

@Suite struct SocketFamiliesTests {
    private static let allow: UInt32 = 0x7FFF_0000
    private static func error(_ number: Int32) -> UInt32 { 0x0005_0000 | UInt32(number) }

    /// What `socket`, or `socketpair`, is answered with by the filter of a task.
    private func answer(
        _ family: UInt64, _ networkProtocol: UInt64 = 0, opened: Set<SyscallGroup> = [],
        capabilities: [Capability] = [],
        call: SyscallNumber = .socket
    ) throws -> UInt32 {
        let task = TaskSyscalls(
            isFiltered: true, opened: opened, capabilities: capabilities.reduce(0) { $0 | $1.bit },
            restrictsTCPBind: false, restrictsTCPConnect: false)
        let answers = try SyscallArchitecture.allCases.map { architecture in
            let filter = SeccompFilter(
                task.rules, closingUnknownNumbers: task.closesUnknownNumbers, on: architecture)
            return try FilterMachine(filter: filter).answer(
                try #require(call.number(on: architecture)), [family, 2, networkProtocol],
                architecture: architecture.auditToken)
        }
        #expect(Set(answers).count == 1)
        return answers[0]
    }

    @Test func onlyOrdinaryFamiliesAreOpen() throws {
        let open: Set<UInt64> = [1, 2, 10, 16]
        for family: UInt64 in 0...64 {
            #expect(try answer(family) == (open.contains(family) ? Self.allow : Self.error(EAFNOSUPPORT)), "\(family)")
            let pair = try answer(family, call: .socketpair)
            #expect(pair == (open.contains(family) ? Self.allow : Self.error(EAFNOSUPPORT)), "\(family)")
        }
        #expect(try answer(0xFFFF_FFFF) == Self.error(EAFNOSUPPORT))
        // The kernel takes an int: it does not look at the upper half.
        #expect(try answer(38 | 1 << 32) == Self.error(EAFNOSUPPORT))
        #expect(try answer(2 | 1 << 32) == Self.allow)
    }

    @Test func netlinkHasTheProtocolsThatProgramsNeed() throws {
        let open: Set<UInt64> = [0, 4, 7, 15, 16]
        for number: UInt64 in 0...31 {
            #expect(
                try answer(16, number) == (open.contains(number) ? Self.allow : Self.error(EPROTONOSUPPORT)),
                "\(number)")
            // Of other families the number is another protocol's.
            #expect(try answer(2, number) == Self.allow && answer(10, number) == Self.allow)
        }
    }

    @Test func smcIsNoProtocolEither() throws {
        #expect(try answer(2, 256) == Self.error(EPROTONOSUPPORT))
        #expect(try answer(10, 256) == Self.error(EPROTONOSUPPORT))
        #expect(try answer(2, 262) == Self.allow)
    }

    @Test func capabilitiesOpenWhatTheyAreFor() throws {
        #expect(try answer(17, capabilities: [.netRaw]) == Self.allow)
        #expect(try answer(17, capabilities: [.netAdmin]) == Self.error(EAFNOSUPPORT))
        for number: UInt64 in [6, 12] {
            #expect(try answer(16, number, capabilities: [.netAdmin]) == Self.allow)
            #expect(try answer(16, number, capabilities: [.netRaw]) == Self.error(EPROTONOSUPPORT))
        }
        for capability in [Capability.auditControl, .auditRead, .auditWrite] {
            #expect(try answer(16, 9, capabilities: [capability]) == Self.allow)
        }
        #expect(try answer(38, capabilities: Capability.allCases) == Self.error(EAFNOSUPPORT))
    }

    @Test func groupsOpenTheirFamilies() throws {
        #expect(try answer(40, opened: [.vsock]) == Self.allow)
        #expect(try answer(38, opened: [.vsock]) == Self.error(EAFNOSUPPORT))
        #expect(try answer(38, opened: [.sockets]) == Self.allow)
        #expect(try answer(16, 21, opened: [.sockets]) == Self.allow)
        #expect(try answer(40, opened: [.sockets]) == Self.error(EAFNOSUPPORT))
        #expect(try answer(40, opened: [.sockets, .vsock]) == Self.allow)
    }
}
