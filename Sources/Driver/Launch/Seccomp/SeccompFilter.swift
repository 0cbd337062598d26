import Glibc

/// A seccomp filter: a program of classic BPF over `struct seccomp_data` (seccomp(2), uapi linux/filter.h).
struct SeccompFilter: Equatable, Sendable {
    /// `struct sock_filter`.
    struct Instruction: Equatable, Sendable {
        let code: UInt16
        /// How many instructions are left out where the test holds, and where it does not.
        var ifTrue: UInt8 = 0
        var ifFalse: UInt8 = 0
        let operand: UInt32
    }

    /// BPF_LD | BPF_W | BPF_ABS and so on, of uapi linux/bpf_common.h.
    enum Code {
        static let load: UInt16 = 0x20
        static let jumpIfEqual: UInt16 = 0x15
        static let jumpIfGreaterOrEqual: UInt16 = 0x35
        static let jumpIfAnyBit: UInt16 = 0x45
        static let answer: UInt16 = 0x06
    }

    /// SECCOMP_RET_* of uapi linux/seccomp.h.
    enum Answer {
        static let allow: UInt32 = 0x7FFF_0000
        static let killProcess: UInt32 = 0x8000_0000
        static func error(_ number: Int32) -> UInt32 { 0x0005_0000 | UInt32(number) & 0xFFFF }
    }

    /// Offsets in `struct seccomp_data`.
    private enum Offset {
        static let number: UInt32 = 0
        static let architecture: UInt32 = 4
        /// The lower half, on little-endian machines, which both architectures are.
        static func argument(_ index: Int) -> UInt32 { 16 + 8 * UInt32(index) }
    }

    /// Numbers from here on are calls of the x32 ABI.
    private static let x32: UInt32 = 0x4000_0000

    let instructions: [Instruction]

    /// Allows every call but those of the rules. Calls of another architecture (32-bit programs) end the
    /// process: their numbers mean something else, and the rules would not see them.
    ///
    /// Kernels from 5.11 on know of a call that is allowed whatever its arguments are without running this.
    init(_ rules: [SyscallRule], on architecture: SyscallArchitecture) {
        var program = [
            Instruction(code: Code.load, operand: Offset.architecture),
            Instruction(code: Code.jumpIfEqual, ifTrue: 1, operand: architecture.auditToken),
            Instruction(code: Code.answer, operand: Answer.killProcess),
            Instruction(code: Code.load, operand: Offset.number),
        ]
        if architecture == .amd64 {
            program += [
                Instruction(code: Code.jumpIfGreaterOrEqual, ifFalse: 1, operand: Self.x32),
                Instruction(code: Code.answer, operand: Answer.error(ENOSYS)),
            ]
        }
        for (number, rules) in Self.byNumber(rules, on: architecture) {
            let block = Self.block(rules)
            program.append(
                Instruction(code: Code.jumpIfEqual, ifFalse: UInt8(block.count), operand: number))
            program += block
        }
        program.append(Instruction(code: Code.answer, operand: Answer.allow))
        instructions = program
    }

    /// In the order in which the calls come first.
    private static func byNumber(
        _ rules: [SyscallRule], on architecture: SyscallArchitecture
    ) -> [(number: UInt32, rules: [SyscallRule])] {
        var result: [(number: UInt32, rules: [SyscallRule])] = []
        for rule in rules {
            guard let number = rule.call.number(on: architecture) else { continue }
            if let index = result.firstIndex(where: { $0.number == number }) {
                result[index].rules.append(rule)
            } else {
                result.append((number, [rule]))
            }
        }
        return result
    }

    /// What becomes of one call: the first rule that holds answers.
    private static func block(_ rules: [SyscallRule]) -> [Instruction] {
        var block: [Instruction] = []
        for rule in rules {
            let answer = Instruction(code: Code.answer, operand: Answer.error(rule.error))
            switch rule.condition {
            case nil: return block + [answer]
            case .equals(let argument, let value):
                block += [
                    Instruction(code: Code.load, operand: Offset.argument(argument)),
                    Instruction(code: Code.jumpIfEqual, ifFalse: 1, operand: value), answer,
                ]
            case .anyBit(let argument, let bits):
                block += [
                    Instruction(code: Code.load, operand: Offset.argument(argument)),
                    Instruction(code: Code.jumpIfAnyBit, ifFalse: 1, operand: bits), answer,
                ]
            }
        }
        return block + [Instruction(code: Code.answer, operand: Answer.allow)]
    }

    /// As the kernel takes it: `struct sock_filter`, 8 bytes each, in the order of little-endian machines.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(instructions.count * 8)
        for instruction in instructions {
            withUnsafeBytes(of: instruction.code.littleEndian) { bytes += $0 }
            bytes += [instruction.ifTrue, instruction.ifFalse]
            withUnsafeBytes(of: instruction.operand.littleEndian) { bytes += $0 }
        }
        return bytes
    }
}
