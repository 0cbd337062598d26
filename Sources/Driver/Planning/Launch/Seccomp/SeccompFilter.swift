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
        static let jump: UInt16 = 0x05
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
    /// The numbers are a binary tree: when a filter is installed, kernels from 5.11 on try every number to learn which
    /// are allowed whatever the arguments are, so that a start waits for the instructions that each number passes. At
    /// run time the filter is not asked about those.
    /// - Parameter closingUnknownNumbers: What this release has no name for is as on a kernel without it (ENOSYS).
    init(_ rules: [SyscallRule], closingUnknownNumbers: Bool = false, on architecture: SyscallArchitecture) {
        let ranges = Self.ranges(rules, closingUnknownNumbers, on: architecture)
        instructions =
            [
                Instruction(code: Code.load, operand: Offset.architecture),
                Instruction(code: Code.jumpIfEqual, ifTrue: 1, operand: architecture.auditToken),
                Instruction(code: Code.answer, operand: Answer.killProcess),
                Instruction(code: Code.load, operand: Offset.number),
            ] + Self.tree(ranges[...])
    }

    /// What becomes of the calls from a number on, up to the next range.
    private struct Range {
        let start: UInt32
        let action: Action
    }

    private enum Action: Equatable {
        case answer(UInt32)
        case rules([Test])

        /// A rule without its call, so that neighbours with the same rules are one range.
        struct Test: Equatable {
            let conditions: [SyscallRule.Condition]
            let error: Int32
        }
    }

    /// Every number's action, as ranges without a gap from 0 on; no two neighbours are equal.
    private static func ranges(
        _ rules: [SyscallRule], _ closingUnknownNumbers: Bool, on architecture: SyscallArchitecture
    ) -> [Range] {
        var tests: [UInt32: [Action.Test]] = [:]
        for rule in rules {
            guard let number = rule.call.number(on: architecture) else { continue }
            tests[number, default: []].append(.init(conditions: rule.conditions, error: rule.error))
        }
        let absent = Action.answer(Answer.error(ENOSYS))
        func action(_ number: UInt32) -> Action {
            if architecture == .amd64 && number >= x32 { return absent }
            if let tests = tests[number] {
                if let first = tests.first, first.conditions.isEmpty { return .answer(Answer.error(first.error)) }
                return .rules(tests)
            }
            let isKnown = !closingUnknownNumbers || architecture.knownNumbers.contains { $0.contains(number) }
            return isKnown ? .answer(Answer.allow) : absent
        }
        var starts: Set<UInt32> = [0, x32]
        for number in tests.keys { starts.formUnion([number, number + 1]) }
        for known in architecture.knownNumbers { starts.formUnion([known.lowerBound, known.upperBound + 1]) }
        var ranges: [Range] = []
        for start in starts.sorted() {
            let action = action(start)
            if ranges.last?.action != action { ranges.append(Range(start: start, action: action)) }
        }
        return ranges
    }

    /// Finds the range of the number that is loaded, by halving.
    private static func tree(_ ranges: ArraySlice<Range>) -> [Instruction] {
        if let tree = sharedTree(ranges) { return tree }
        let middle = ranges.startIndex + ranges.count / 2
        let (below, above) = (tree(ranges[..<middle]), tree(ranges[middle...]))
        return [
            Instruction(code: Code.jumpIfGreaterOrEqual, ifFalse: 1, operand: ranges[middle].start),
            Instruction(code: Code.jump, operand: UInt32(below.count)),
        ] + below + above
    }

    /// A tree whose answers stand once, behind it; nil where a jump would be too far for that. The kernel translates
    /// every instruction of a filter when it is installed.
    private static func sharedTree(_ ranges: ArraySlice<Range>) -> [Instruction]? {
        var code: [Instruction] = []
        /// Jumps to answers: of which instruction, where its test holds or where it does not, and to which.
        var jumps: [(from: Int, ifTrue: Bool, to: UInt32)] = []
        var isTooFar = false

        func distance(from index: Int, to target: Int) -> UInt8 {
            guard let distance = UInt8(exactly: target - index - 1) else {
                isTooFar = true
                return 0
            }
            return distance
        }
        func emit(_ ranges: ArraySlice<Range>) {
            let middle = ranges.startIndex + ranges.count / 2
            guard ranges.count > 1 else {
                code += ranges.first.map { body($0.action) } ?? []
                return
            }
            let index = code.count
            code.append(Instruction(code: Code.jumpIfGreaterOrEqual, operand: ranges[middle].start))
            for (half, isAbove) in [(ranges[..<middle], false), (ranges[middle...], true)] {
                if half.count == 1, let only = half.first, case .answer(let answer) = only.action {
                    jumps.append((index, isAbove, answer))
                    continue
                }
                if isAbove { code[index].ifTrue = distance(from: index, to: code.count) }
                emit(half)
            }
        }

        emit(ranges)
        var answers: [UInt32] = []
        for jump in jumps where !answers.contains(jump.to) { answers.append(jump.to) }
        for jump in jumps {
            let target = code.count + (answers.firstIndex(of: jump.to) ?? 0)
            let distance = distance(from: jump.from, to: target)
            if jump.ifTrue { code[jump.from].ifTrue = distance } else { code[jump.from].ifFalse = distance }
        }
        return isTooFar ? nil : code + answers.map { Instruction(code: Code.answer, operand: $0) }
    }

    /// The first rule that holds answers.
    private static func body(_ action: Action) -> [Instruction] {
        switch action {
        case .answer(let answer): return [Instruction(code: Code.answer, operand: answer)]
        case .rules(let tests):
            // Nothing comes behind a rule that always holds.
            if let last = tests.firstIndex(where: \.conditions.isEmpty) { return tests[...last].flatMap(body) }
            return tests.flatMap(body) + [Instruction(code: Code.answer, operand: Answer.allow)]
        }
    }

    /// Falls through to what is behind it where a condition does not hold.
    private static func body(_ test: Action.Test) -> [Instruction] {
        // With the length of the whole it is known how far a condition that fails has to jump.
        var length = 1
        for condition in test.conditions { length += instructions(condition, skipping: 0).count }
        var result: [Instruction] = []
        for condition in test.conditions { result += instructions(condition, skipping: length - result.count) }
        return result + [Instruction(code: Code.answer, operand: Answer.error(test.error))]
    }

    /// - Parameter distance: From the first of these instructions to what comes behind the rule.
    private static func instructions(_ condition: SyscallRule.Condition, skipping distance: Int) -> [Instruction] {
        let load = Instruction(code: Code.load, operand: Offset.argument(condition.argument))
        // Rules are short: none is longer than a jump can reach (SeccompFilterTests).
        func rest(_ passed: Int) -> UInt8 { UInt8(clamping: distance - passed) }
        switch condition {
        case .equals(_, let value):
            return [load, Instruction(code: Code.jumpIfEqual, ifFalse: rest(2), operand: value)]
        case .anyBit(_, let bits):
            return [load, Instruction(code: Code.jumpIfAnyBit, ifFalse: rest(2), operand: bits)]
        case .noneOf(_, let values):
            return [load]
                + values.enumerated().map { index, value in
                    Instruction(code: Code.jumpIfEqual, ifTrue: rest(index + 2), operand: value)
                }
        }
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
