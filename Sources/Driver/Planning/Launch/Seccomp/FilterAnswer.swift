/// What a filter of this driver's answers to a system call: of `SeccompFilter.bytes`, as a launch request has them.
package enum FilterAnswer {
    /// The errno that the call gets without reaching the kernel; nil where it is let through.
    ///
    /// - Parameter call: The number, and the six arguments.
    package static func error(
        of filter: [UInt8], to number: UInt64, _ arguments: [UInt64], on architecture: SyscallArchitecture = .native
    ) -> Int32? {
        var index = 0
        var loaded: UInt32 = 0
        while (index + 1) * 8 <= filter.count {
            let at = index * 8
            let code = UInt16(filter[at]) | UInt16(filter[at + 1]) << 8
            let operand = (0..<4).reduce(UInt32(0)) { $0 | UInt32(filter[at + 4 + $1]) << UInt32(8 * $1) }
            index += 1
            let holds: Bool
            switch code {
            case SeccompFilter.Code.load:
                loaded = word(at: operand, number, arguments, architecture)
                continue
            case SeccompFilter.Code.jump:
                index += Int(operand)
                continue
            case SeccompFilter.Code.answer:
                return operand & 0xFFFF_0000 == SeccompFilter.Answer.error(0) ? Int32(operand & 0xFFFF) : nil
            case SeccompFilter.Code.jumpIfEqual: holds = loaded == operand
            case SeccompFilter.Code.jumpIfGreaterOrEqual: holds = loaded >= operand
            case SeccompFilter.Code.jumpIfAnyBit: holds = loaded & operand != 0
            default: return nil
            }
            index += Int(filter[at + (holds ? 2 : 3)])
        }
        return nil
    }

    /// A field of `struct seccomp_data`.
    private static func word(
        at offset: UInt32, _ number: UInt64, _ arguments: [UInt64], _ architecture: SyscallArchitecture
    ) -> UInt32 {
        switch offset {
        case 0: return UInt32(truncatingIfNeeded: number)
        case 4: return architecture.auditToken
        default:
            let index = (Int(offset) - 16) / 8
            guard arguments.indices.contains(index) else { return 0 }
            return UInt32(truncatingIfNeeded: offset % 8 == 0 ? arguments[index] : arguments[index] >> 32)
        }
    }
}

extension SyscallGroup {
    /// The group that a call which a filter has answered is closed by, and the call's name; nil where no group would open
    /// it, as with a way around the rules for ports.
    package static func closing(
        _ number: UInt64, _ arguments: [UInt64], on architecture: SyscallArchitecture = .native
    ) -> (group: SyscallGroup, call: String?)? {
        // Of the two that close a vsock, `vsock` opens it.
        for group in [.vsock] + allCases {
            for rule in group.rules where rule.call.number(on: architecture).map(UInt64.init) == number {
                if rule.conditions.allSatisfy({ $0.holds(arguments) }) { return (group, rule.call.name) }
            }
        }
        let isKnown = architecture.knownNumbers.contains { $0.contains(UInt32(truncatingIfNeeded: number)) }
        return isKnown ? nil : (.newer, nil)
    }
}

extension SyscallRule.Condition {
    fileprivate func holds(_ arguments: [UInt64]) -> Bool {
        guard arguments.indices.contains(argument) else { return false }
        let value = UInt32(truncatingIfNeeded: arguments[argument])
        return switch self {
        case .equals(_, let wanted): value == wanted
        case .anyBit(_, let bits): value & bits != 0
        case .noneOf(_, let values): !values.contains(value)
        }
    }
}
