/// Why bytes are not a MessagePack message that is accepted here.
package struct MessagePackError: Error, Equatable, CustomStringConvertible {
    enum Problem: Equatable, Sendable {
        /// The message ends before what is expected is complete. A length that a header claims counts as needed
        /// at once, an item of an array as one byte, a pair of a map as two.
        case truncated(expected: String, needed: UInt64, available: Int)
        /// 0xC1, which the specification never uses.
        case reservedByte
        case tooDeep(limit: Int)
        case tooManyValues(limit: Int)
        case duplicateKey(String)
        case trailingBytes(Int)
    }

    /// Where in the message: the index of the first byte of the value that is at fault.
    let offset: Int
    let problem: Problem

    package var description: String {
        let what =
            switch problem {
            case .truncated(let expected, let needed, let available):
                "expected \(expected), at least \(needed) bytes, but only \(available) are left"
            case .reservedByte: "expected a value, but 0xc1 begins none"
            case .tooDeep(let limit): "expected at most \(limit) levels of lists and maps in each other"
            case .tooManyValues(let limit): "expected at most \(limit) values in one message"
            case .duplicateKey(let key): "expected a key that is new in its map, but \(key) was there before"
            case .trailingBytes(let count): "expected the end of the message, but \(count) more bytes follow"
            }
        return "at byte \(offset): \(what)"
    }
}
