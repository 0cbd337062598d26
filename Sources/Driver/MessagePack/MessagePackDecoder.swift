/// Reads one MessagePack message from untrusted bytes.
///
/// Memory and stack stay in proportion to the bytes that are there: a size that a header claims is compared with
/// what is left before anything is allocated for it, and depth and number of values are bounded.
package struct MessagePackDecoder {
    package struct Bounds: Sendable {
        /// Levels of arrays and maps in each other.
        var depth = 64
        /// Values in the whole message, keys and containers included.
        var values = 1 << 20
    }

    private let bytes: [UInt8]
    private let bounds: Bounds
    private var position = 0
    private var valuesRead = 0

    private init(_ bytes: [UInt8], bounds: Bounds) {
        self.bytes = bytes
        self.bounds = bounds
    }

    /// The value that `bytes` are, all of them.
    package static func decode(
        _ bytes: [UInt8], bounds: Bounds = Bounds()
    ) throws(MessagePackError) -> MessagePackValue {
        var decoder = MessagePackDecoder(bytes, bounds: bounds)
        let value = try decoder.value(depth: 0)
        if decoder.position < bytes.count {
            throw MessagePackError(
                offset: decoder.position, problem: .trailingBytes(bytes.count - decoder.position))
        }
        return value
    }

    private mutating func value(depth: Int) throws(MessagePackError) -> MessagePackValue {
        let start = position
        valuesRead += 1
        if valuesRead > bounds.values {
            throw MessagePackError(offset: start, problem: .tooManyValues(limit: bounds.values))
        }
        let first = UInt8(truncatingIfNeeded: try number(1, of: "a value", from: start))
        switch first {
        case 0x00...0x7F: return .int(Int64(first))
        case 0x80...0x8F: return try map(UInt64(first & 0x0F), depth: depth, from: start)
        case 0x90...0x9F: return try array(UInt64(first & 0x0F), depth: depth, from: start)
        case 0xA0...0xBF: return .string(try take(UInt64(first & 0x1F), of: "a string", from: start))
        case 0xC0: return .null
        case 0xC1: throw MessagePackError(offset: start, problem: .reservedByte)
        case 0xC2: return .bool(false)
        case 0xC3: return .bool(true)
        case 0xC4, 0xC5, 0xC6:
            let length = try number(1 << (first - 0xC4), of: "the length of binary data", from: start)
            return .binary(try take(length, of: "binary data", from: start))
        case 0xC7, 0xC8, 0xC9:
            let length = try number(1 << (first - 0xC7), of: "the length of an extension", from: start)
            return try ext(length, from: start)
        case 0xCA:
            let bits = UInt32(truncatingIfNeeded: try number(4, of: "a 32-bit float", from: start))
            return .float(Double(Float(bitPattern: bits)))
        case 0xCB: return .float(Double(bitPattern: try number(8, of: "a 64-bit float", from: start)))
        case 0xCC...0xCF:
            let number = try number(1 << (first - 0xCC), of: "an unsigned integer", from: start)
            return Int64(exactly: number).map { .int($0) } ?? .uint(number)
        case 0xD0...0xD3:
            let width = 1 << Int(first - 0xD0)
            let bits = try number(width, of: "a signed integer", from: start)
            let unusedBits = 64 - 8 * width
            return .int(Int64(bitPattern: bits << unusedBits) >> unusedBits)
        case 0xD4...0xD8: return try ext(1 << UInt64(first - 0xD4), from: start)
        case 0xD9, 0xDA, 0xDB:
            let length = try number(1 << (first - 0xD9), of: "the length of a string", from: start)
            return .string(try take(length, of: "a string", from: start))
        case 0xDC, 0xDD:
            let count = try number(2 << (first - 0xDC), of: "the length of a list", from: start)
            return try array(count, depth: depth, from: start)
        case 0xDE, 0xDF:
            let count = try number(2 << (first - 0xDE), of: "the length of a map", from: start)
            return try map(count, depth: depth, from: start)
        default: return .int(Int64(Int8(bitPattern: first)))
        }
    }

    /// An unsigned integer of `width` bytes, big-endian.
    private mutating func number(
        _ width: Int, of expected: String, from start: Int
    ) throws(MessagePackError) -> UInt64 {
        try require(UInt64(width), of: expected, from: start)
        var result: UInt64 = 0
        for index in position..<position + width { result = result << 8 | UInt64(bytes[index]) }
        position += width
        return result
    }

    private mutating func take(
        _ count: UInt64, of expected: String, from start: Int
    ) throws(MessagePackError) -> [UInt8] {
        try require(count, of: expected, from: start)
        let end = position + Int(count)
        defer { position = end }
        return Array(bytes[position..<end])
    }

    private mutating func ext(_ count: UInt64, from start: Int) throws(MessagePackError) -> MessagePackValue {
        let type = Int8(truncatingIfNeeded: try number(1, of: "the type of an extension", from: start))
        return .ext(type: type, data: try take(count, of: "an extension", from: start))
    }

    private mutating func array(
        _ count: UInt64, depth: Int, from start: Int
    ) throws(MessagePackError) -> MessagePackValue {
        try enter(depth, from: start)
        try require(count, of: "a list of \(count) items", from: start)
        // Grown as items arrive: nested headers may each claim the same bytes.
        var items: [MessagePackValue] = []
        for _ in 0..<count { items.append(try value(depth: depth + 1)) }
        return .array(items)
    }

    private mutating func map(
        _ count: UInt64, depth: Int, from start: Int
    ) throws(MessagePackError) -> MessagePackValue {
        try enter(depth, from: start)
        try require(count * 2, of: "a map of \(count) pairs", from: start)
        var pairs: [MessagePackValue.Pair] = []
        var keys: Set<MessagePackValue> = []
        for _ in 0..<count {
            let keyStart = position
            let key = try value(depth: depth + 1)
            guard keys.insert(key.identity).inserted else {
                throw MessagePackError(offset: keyStart, problem: .duplicateKey(key.description))
            }
            pairs.append(MessagePackValue.Pair(key: key, value: try value(depth: depth + 1)))
        }
        return .map(pairs)
    }

    private func enter(_ depth: Int, from start: Int) throws(MessagePackError) {
        if depth >= bounds.depth {
            throw MessagePackError(offset: start, problem: .tooDeep(limit: bounds.depth))
        }
    }

    private func require(_ count: UInt64, of expected: String, from start: Int) throws(MessagePackError) {
        let available = bytes.count - position
        if count > UInt64(available) {
            throw MessagePackError(
                offset: start, problem: .truncated(expected: expected, needed: count, available: available))
        }
    }
}

extension MessagePackValue {
    /// What makes a key the same key: a name is one name, sent as str or as bin.
    fileprivate var identity: MessagePackValue {
        if case .binary(let bytes) = self { .string(bytes) } else { self }
    }
}
