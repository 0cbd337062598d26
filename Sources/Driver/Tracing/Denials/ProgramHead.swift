import Shared

/// Finds out from the first bytes of a program what runs it.
enum ProgramHead {
    /// The interpreter of a script (`#!`), or the loader of a 64-bit ELF program (PT_INTERP, elf(5)).
    static func interpreter(in head: [UInt8]) -> String? {
        if head.starts(with: [0x23, 0x21]) {
            let line = head.dropFirst(2).prefix { $0 != 0x0A }
            let word = line.drop { $0 == 0x20 || $0 == 0x09 }.prefix { $0 != 0x20 && $0 != 0x09 && $0 != 0 }
            return word.first == UInt8(ascii: "/") ? ByteText.text(word) : nil
        }
        guard head.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2]), head.count >= 64 else { return nil }
        let (table, size, count) = (number(head, 32, 8), number(head, 54, 2), number(head, 56, 2))
        for index in 0..<min(count, 64) {
            let entry = table.addingReportingOverflow(index * size)
            guard !entry.overflow, entry.partialValue <= head.count - min(size, head.count), size >= 56 else {
                return nil
            }
            // PT_INTERP
            guard number(head, entry.partialValue, 4) == 3 else { continue }
            let (offset, length) = (number(head, entry.partialValue + 8, 8), number(head, entry.partialValue + 32, 8))
            guard offset < head.count, length < head.count - offset else { return nil }
            let name = head[offset..<offset + length].prefix { $0 != 0 }
            return name.first == UInt8(ascii: "/") ? ByteText.text(name) : nil
        }
        return nil
    }

    /// A little-endian number; `Int.max` if it is outside of `bytes` or does not fit into an `Int`.
    private static func number(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> Int {
        guard offset >= 0, offset <= bytes.count - size else { return .max }
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        return Int(exactly: value) ?? .max
    }
}
