import Glibc
import Testing

@testable import EventLoop
@testable import HCLog
@testable import Planning

/// What the kernel does with a filter: classic BPF over `struct seccomp_data`, checked as it goes.
struct FilterMachine {
    enum Failure: Error {
        case outside
        case unknownCode(UInt16)
        case noAnswer
    }

    let filter: SeccompFilter

    /// - Parameter arguments: Of the call; those that are not given are 0.
    func answer(_ number: UInt32, _ arguments: [UInt64] = [], architecture: UInt32) throws -> UInt32 {
        try run(number, arguments, architecture: architecture).answer
    }

    /// How many instructions a call passes.
    func steps(_ number: UInt32, _ arguments: [UInt64] = [], architecture: UInt32) throws -> Int {
        try run(number, arguments, architecture: architecture).steps
    }

    private func run(
        _ number: UInt32, _ arguments: [UInt64], architecture: UInt32
    ) throws -> (answer: UInt32, steps: Int) {
        var steps = 0
        var data: [UInt8] = []
        withUnsafeBytes(of: number.littleEndian) { data += $0 }
        withUnsafeBytes(of: architecture.littleEndian) { data += $0 }
        withUnsafeBytes(of: UInt64(0)) { data += $0 }
        for index in 0..<6 {
            withUnsafeBytes(of: (index < arguments.count ? arguments[index] : 0).littleEndian) { data += $0 }
        }
        var accumulator: UInt32 = 0
        var next = 0
        while filter.instructions.indices.contains(next) {
            let instruction = filter.instructions[next]
            next += 1
            steps += 1
            func jump(_ holds: Bool) { next += Int(holds ? instruction.ifTrue : instruction.ifFalse) }
            switch instruction.code {
            case 0x20:
                let offset = Int(instruction.operand)
                guard offset % 4 == 0, offset + 4 <= data.count else { throw Failure.outside }
                accumulator = data[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
            case 0x05: next += Int(instruction.operand)
            case 0x15: jump(accumulator == instruction.operand)
            case 0x35: jump(accumulator >= instruction.operand)
            case 0x45: jump(accumulator & instruction.operand != 0)
            case 0x06: return (instruction.operand, steps)
            default: throw Failure.unknownCode(instruction.code)
            }
        }
        throw Failure.noAnswer
    }
}

@Suite struct SeccompFilterTests {
    private static let allow: UInt32 = 0x7FFF_0000
    private static let kill: UInt32 = 0x8000_0000
    private static func error(_ number: Int32) -> UInt32 { 0x0005_0000 | UInt32(number) }

    private static let everything = SyscallGroup.allCases.flatMap(\.rules)

    @Test(arguments: SyscallArchitecture.allCases)
    func whatIsDeniedAlwaysIsAndNothingElse(architecture: SyscallArchitecture) throws {
        let machine = FilterMachine(filter: SeccompFilter(Self.everything, on: architecture))
        var denied: [UInt32: Int32] = [:]
        for rule in Self.everything where rule.conditions.isEmpty {
            if let number = rule.call.number(on: architecture) { denied[number] = rule.error }
        }
        #expect(denied.count > 35)
        for number: UInt32 in 0..<1024 {
            // An argument that no rule is about: AF_INET, and a flag of clone and unshare that makes no namespace.
            let answer = try machine.answer(number, [2], architecture: architecture.auditToken)
            #expect(answer == denied[number].map { Self.error($0) } ?? Self.allow, "\(number)")
        }
    }

    // MARK: The table

    static let configurations: [TaskSyscalls] = [
        TaskSyscalls(
            isFiltered: true, opened: [], capabilities: 0, restrictsTCPBind: false, restrictsTCPConnect: false),
        TaskSyscalls(isFiltered: true, opened: [], capabilities: 0, restrictsTCPBind: true, restrictsTCPConnect: true),
        TaskSyscalls(isFiltered: false, opened: [], capabilities: 0, restrictsTCPBind: true, restrictsTCPConnect: true),
        TaskSyscalls(
            isFiltered: true, opened: [.newer, .ioUring, .vsock],
            capabilities: Capability.netRaw.bit | Capability.sysAdmin.bit,
            restrictsTCPBind: false, restrictsTCPConnect: false),
        TaskSyscalls(
            isFiltered: true, opened: [.sockets], capabilities: Capability.every, restrictsTCPBind: false,
            restrictsTCPConnect: false),
    ]

    private func holds(_ condition: SyscallRule.Condition, _ arguments: [UInt64]) -> Bool {
        let value = UInt32(truncatingIfNeeded: arguments[condition.argument])
        return switch condition {
        case .equals(_, let wanted): value == wanted
        case .anyBit(_, let bits): value & bits != 0
        case .noneOf(_, let values): !values.contains(value)
        }
    }

    /// What the filter must answer, without a filter.
    /// - Parameter rules: Those of the number.
    private func wanted(
        _ number: UInt32, _ arguments: [UInt64], _ rules: [SyscallRule], closesUnknown: Bool,
        _ architecture: SyscallArchitecture
    ) -> UInt32 {
        if architecture == .amd64 && number >= 0x4000_0000 { return Self.error(ENOSYS) }
        for rule in rules where rule.conditions.allSatisfy({ holds($0, arguments) }) { return Self.error(rule.error) }
        let known: [ClosedRange<UInt32>] =
            architecture == .amd64 ? [0...336, 424...471] : [0...243, 260...294, 424...471]
        return closesUnknown && !known.contains { $0.contains(number) } ? Self.error(ENOSYS) : Self.allow
    }

    /// Values of arguments at which a condition of the rules holds or just does not; the upper half is noise.
    private func samples(_ rules: [SyscallRule]) -> [[UInt64]] {
        var values = [[UInt64]](repeating: [7], count: 6)
        for condition in rules.flatMap(\.conditions) {
            let edges: [UInt32] =
                switch condition {
                case .equals(_, let value): [value &- 1, value, value &+ 1]
                case .anyBit(_, let bits): (0..<32).map { 1 << $0 } + [bits, ~bits, 0]
                case .noneOf(_, let values): values.flatMap { [$0 &- 1, $0, $0 &+ 1] } + [0, .max]
                }
            values[condition.argument] += edges.map { UInt64($0) }
            values[condition.argument].append(UInt64(edges[1]) | 0xABCD << 32)
        }
        return values.reduce([[]]) { rows, column in rows.flatMap { row in Set(column).map { row + [$0] } } }
    }

    @Test(arguments: SyscallArchitecture.allCases, configurations.indices)
    func everyNumberIsAnsweredAsTheTableSays(architecture: SyscallArchitecture, index: Int) throws {
        let task = Self.configurations[index]
        let rules = task.rules
        let closesUnknown = task.closesUnknownNumbers
        let machine = FilterMachine(
            filter: SeccompFilter(rules, closingUnknownNumbers: closesUnknown, on: architecture))
        let edges: [UInt32] = [0x3FFF_FFFF, 0x4000_0000, 0x4000_0029, 0x7FFF_FFFF, 0x8000_0000, .max]
        let numbers = Array(0..<1200) + edges
        var checked = 0
        for number in numbers {
            let rules = rules.filter { $0.call.number(on: architecture) == number }
            for arguments in samples(rules) {
                let answer = try machine.answer(number, arguments, architecture: architecture.auditToken)
                let wanted = wanted(number, arguments, rules, closesUnknown: closesUnknown, architecture)
                if answer != wanted { Issue.record("\(number) \(arguments): \(answer), and not \(wanted)") }
                checked += 1
            }
        }
        #expect(checked >= numbers.count)
    }

    /// More than a jump of eight bits can pass over, and rules one after another for one call.
    @Test func aTreeOfAnySizeFindsItsNumbers() throws {
        for count in [1, 2, 3, 200, 700] {
            let rules = (0..<UInt32(count)).flatMap { index in
                let call = SyscallNumber("call", index * 3 + 1, nil)
                return [
                    SyscallRule(call, where: .equals(argument: 1, index), error: 1),
                    SyscallRule(call, where: .equals(argument: 0, 5), .noneOf(argument: 1, [6, 7]), error: 2),
                    SyscallRule(call, error: Int32(index % 100) + 3), SyscallRule(call, error: 500),
                ]
            }
            let machine = FilterMachine(filter: SeccompFilter(rules, on: .amd64))
            for number in 0..<UInt32(count * 3 + 3) {
                let index = number / 3
                func answer(_ arguments: [UInt64]) throws -> UInt32 {
                    try machine.answer(number, arguments, architecture: SyscallArchitecture.amd64.auditToken)
                }
                let isRuled = number % 3 == 1 && index < count
                #expect(try answer([4, 100_000]) == (isRuled ? Self.error(Int32(index % 100) + 3) : Self.allow))
                #expect(try answer([4, UInt64(index)]) == (isRuled ? Self.error(1) : Self.allow))
                #expect(try answer([5, 100_000]) == (isRuled ? Self.error(2) : Self.allow))
            }
        }
    }

    /// What a start waits for (docs/performance.md): a list of comparisons took up to 130 for each number.
    @Test(arguments: SyscallArchitecture.allCases)
    func aNumberPassesFewInstructions(architecture: SyscallArchitecture) throws {
        let task = Self.configurations[1]
        let filter = SeccompFilter(task.rules, closingUnknownNumbers: true, on: architecture)
        var passed: [Int] = []
        for number in 0...SyscallArchitecture.lastKnownNumber {
            passed.append(try FilterMachine(filter: filter).steps(number, architecture: architecture.auditToken))
        }
        // Four before the tree, its depth, and the answer.
        #expect(passed.sorted()[passed.count / 2] <= 12)
        #expect(passed.reduce(0, +) / passed.count <= 12)
    }

    /// AUDIT_ARCH_I386 and AUDIT_ARCH_ARM, and the two of each other.
    @Test(arguments: SyscallArchitecture.allCases, [0x4000_0003, 0x4000_0028, 0xC000_003E, 0xC000_00B7, 0] as [UInt32])
    func anotherArchitectureEndsTheProcess(architecture: SyscallArchitecture, token: UInt32) throws {
        let machine = FilterMachine(filter: SeccompFilter([], on: architecture))
        for number: UInt32 in [0, 1, 11, 250] {
            let answer = try machine.answer(number, architecture: token)
            #expect(answer == (token == architecture.auditToken ? Self.allow : Self.kill))
        }
    }

    @Test func x32IsAsOnAKernelWithoutIt() throws {
        let machine = FilterMachine(filter: SeccompFilter([], on: .amd64))
        for number: UInt32 in [0x4000_0000, 0x4000_0001, 0x4000_0203, 0xFFFF_FFFF] {
            #expect(try machine.answer(number, architecture: 0xC000_003E) == Self.error(ENOSYS))
        }
        #expect(try machine.answer(0x3FFF_FFFF, architecture: 0xC000_003E) == Self.allow)
    }

    @Test(arguments: SyscallArchitecture.allCases)
    func namespacesAreToldByTheirFlags(architecture: SyscallArchitecture) throws {
        let machine = FilterMachine(filter: SeccompFilter(SyscallGroup.namespaces.rules, on: architecture))
        func answer(_ call: SyscallNumber, _ flags: UInt64) throws -> UInt32 {
            try machine.answer(
                try #require(call.number(on: architecture)), [flags], architecture: architecture.auditToken)
        }
        // NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
        for flag: UInt64 in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            #expect(try answer(.clone, flag | 17) == Self.error(EPERM))
            #expect(try answer(.unshare, flag) == Self.error(EPERM))
            // The kernel looks at the lower half only.
            #expect(try answer(.clone, flag | 1 << 40) == Self.error(EPERM))
        }
        #expect(try answer(.unshare, 0x80) == Self.error(EPERM))
        // What glibc makes threads and children of.
        for flags: UInt64 in [0x3D_0F00, 0x120_0011, 0x4111, 17, 0] {
            #expect(try answer(.clone, flags) == Self.allow)
        }
        for flags: UInt64 in [0x200, 0x400, 0x4_0000] { #expect(try answer(.unshare, flags) == Self.allow) }
        #expect(try answer(.clone3, 0) == Self.error(ENOSYS))
        #expect(try answer(.setns, 3) == Self.error(EPERM))
    }

    @Test(arguments: SyscallArchitecture.allCases)
    func rulesOfOneCallAreTriedInOrder(architecture: SyscallArchitecture) throws {
        let rules = TaskSyscalls(
            isFiltered: true, opened: [], capabilities: 0, restrictsTCPBind: true, restrictsTCPConnect: true
        ).rules
        let machine = FilterMachine(filter: SeccompFilter(rules, on: architecture))
        func socket(_ arguments: [UInt64]) throws -> UInt32 {
            let number = try #require(SyscallNumber.socket.number(on: architecture))
            return try machine.answer(number, arguments, architecture: architecture.auditToken)
        }
        #expect(try socket([40, 1, 0]) == Self.error(EAFNOSUPPORT))  // AF_VSOCK
        #expect(try socket([43, 1, 0]) == Self.error(EAFNOSUPPORT))  // AF_SMC
        #expect(try socket([21, 5, 0]) == Self.error(EAFNOSUPPORT))  // AF_RDS
        #expect(try socket([2, 1, 262]) == Self.error(EPROTONOSUPPORT))  // IPPROTO_MPTCP
        #expect(try socket([10, 1, 262]) == Self.error(EPROTONOSUPPORT))
        #expect(try socket([2, 1, 256]) == Self.error(EPROTONOSUPPORT))  // IPPROTO_SMC
        for allowed: [UInt64] in [[2, 1, 0], [2, 1, 6], [10, 2, 17], [1, 1, 0], [16, 3, 0]] {
            #expect(try socket(allowed) == Self.allow)
        }
        for (call, argument) in [(SyscallNumber.sendto, 3), (.sendmsg, 2), (.sendmmsg, 3)] {
            let number = try #require(call.number(on: architecture))
            var arguments = [UInt64](repeating: 0, count: 6)
            // MSG_NOSIGNAL
            arguments[argument] = 0x4000
            #expect(try machine.answer(number, arguments, architecture: architecture.auditToken) == Self.allow)
            // and MSG_FASTOPEN
            arguments[argument] = 0x2000_4000
            #expect(
                try machine.answer(number, arguments, architecture: architecture.auditToken) == Self.error(EOPNOTSUPP))
        }
    }

    // MARK: Which rules

    private func names(
        _ isFiltered: Bool = true, opened: Set<SyscallGroup> = [], capabilities: [Capability] = [], bind: Bool = false,
        connect: Bool = false
    ) -> Set<String> {
        Set(
            TaskSyscalls(
                isFiltered: isFiltered, opened: opened, capabilities: capabilities.reduce(0) { $0 | $1.bit },
                restrictsTCPBind: bind, restrictsTCPConnect: connect
            ).rules.map(\.call.name))
    }

    @Test func withoutTheFilterNothingIsDenied() {
        #expect(names(false).isEmpty)
        let nothing = TaskSyscalls(
            isFiltered: false, opened: [], capabilities: 0, restrictsTCPBind: false, restrictsTCPConnect: false)
        #expect(nothing.filter == nil)
    }

    @Test func aGroupIsOpenedByItsNameAlone() {
        // Two groups are about the same calls: SocketFamiliesTests.
        for group in SyscallGroup.allCases where group != .sockets && group != .vsock {
            let closed = names(opened: [group])
            #expect(closed.isDisjoint(with: group.rules.map(\.call.name)), "\(group)")
            #expect(closed.union(group.rules.map(\.call.name)) == names())
        }
    }

    @Test func aCapabilityOpensWhatItStandsFor() {
        for group in SyscallGroup.allCases {
            for capability in group.openedBy {
                #expect(names(capabilities: [capability]).isDisjoint(with: group.rules.map(\.call.name)))
            }
        }
        #expect(names(capabilities: [.netBindService, .chown]) == names())
        #expect(!names(capabilities: [.sysTime]).contains("clock_settime"))
        #expect(names(capabilities: [.sysTime]).contains("mount"))
        #expect(names(capabilities: Capability.allCases).isSuperset(of: ["keyctl", "userfaultfd", "io_uring_setup"]))
    }

    /// A root task's own capabilities open nothing.
    @Test func rootIsDeniedTheSame() {
        #expect(names(capabilities: Capability.allCases.filter { Capability.forRoot & $0.bit != 0 }) == names())
    }

    @Test func portsAreKeptWithoutTheFilterToo() {
        let ways: Set<String> = ["socket", "io_uring_setup", "io_uring_enter", "io_uring_register"]
        #expect(names(false, bind: true) == ways)
        #expect(names(false, connect: true) == ways.union(["sendto", "sendmsg", "sendmmsg"]))
        #expect(names(opened: [.ioUring], bind: true).contains("io_uring_setup"))
    }

    // MARK: The form

    @Test func instructionsAreTheKernelsOwn() {
        let filter = SeccompFilter([SyscallRule(.bpf, error: EPERM)], on: .amd64)
        #expect(
            filter.bytes == [
                0x20, 0, 0, 0, 4, 0, 0, 0, 0x15, 0, 1, 0, 0x3E, 0, 0, 0xC0, 0x06, 0, 0, 0, 0, 0, 0, 0x80,
                0x20, 0, 0, 0, 0, 0, 0, 0, 0x35, 0, 1, 0, 0x42, 1, 0, 0, 0x35, 0, 2, 1, 0x41, 1, 0, 0,
                0x35, 0, 2, 0, 0, 0, 0, 0x40, 0x06, 0, 0, 0, 0, 0, 0xFF, 0x7F, 0x06, 0, 0, 0, 1, 0, 5, 0,
                0x06, 0, 0, 0, 38, 0, 5, 0,
            ])
    }

    /// BPF_MAXINSNS.
    @Test func theLongestFilterFits() {
        let all = TaskSyscalls(
            isFiltered: true, opened: [], capabilities: 0, restrictsTCPBind: true, restrictsTCPConnect: true)
        for architecture in SyscallArchitecture.allCases {
            #expect(SeccompFilter(all.rules, on: architecture).instructions.count < 4096 / 8)
        }
    }

    /// Each number is the headers', where this machine has them and they know the call.
    @Test(arguments: [
        (SyscallArchitecture.amd64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        (.arm64, "/usr/include/asm-generic/unistd.h"),
    ])
    func theNumbersAreTheKernels(architecture: SyscallArchitecture, header: String) throws {
        guard let bytes = try? HostFile.read(header) else { return }
        var known: [String: UInt32] = [:]
        for match in String(decoding: bytes, as: UTF8.self).matches(of: #/#define __NR(?:3264)?_(\w+) (\d+)/#) {
            known[String(match.1)] = UInt32(match.2)
        }
        #expect(known.count > 250)
        let rules =
            Self.everything
            + TaskSyscalls(
                isFiltered: false, opened: [], capabilities: 0, restrictsTCPBind: true, restrictsTCPConnect: true
            ).rules
        var found = 0
        for call in rules.map(\.call) {
            guard let number = known[call.name] else { continue }
            found += 1
            #expect(call.number(on: architecture) == number, "\(call.name)")
        }
        #expect(found > 40)
    }
}
