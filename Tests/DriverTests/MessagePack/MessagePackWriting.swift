@testable import HCLog
@testable import MessagePack
@testable import Messages

extension MessagePackValue {
    /// The value as a host would send it, in the shortest encodings up to 16-bit lengths.
    var encoded: [UInt8] {
        func header(_ fix: UInt8, _ fixLimit: Int, _ long: UInt8, _ count: Int) -> [UInt8] {
            count < fixLimit
                ? [fix | UInt8(count)] : [long, UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)]
        }
        func bigEndian(_ bits: UInt64) -> [UInt8] {
            (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
        }
        return switch self {
        case .null: [0xC0]
        case .bool(let value): [value ? 0xC3 : 0xC2]
        case .int(let value): [0xD3] + bigEndian(UInt64(bitPattern: value))
        case .uint(let value): [0xCF] + bigEndian(value)
        case .float(let value): [0xCB] + bigEndian(value.bitPattern)
        case .string(let bytes): header(0xA0, 32, 0xDA, bytes.count) + bytes
        case .binary(let bytes): [0xC5, UInt8(bytes.count >> 8 & 0xFF), UInt8(bytes.count & 0xFF)] + bytes
        case .array(let items): header(0x90, 16, 0xDC, items.count) + items.flatMap(\.encoded)
        case .map(let pairs):
            header(0x80, 16, 0xDE, pairs.count) + pairs.flatMap { $0.key.encoded + $0.value.encoded }
        case .ext(let type, let data): [0xC7, UInt8(data.count), UInt8(bitPattern: type)] + data
        }
    }
}

// The literals' protocols are public, so that their initializers must be.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MessagePackValue: ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(Array(value.utf8)) }
    public init(arrayLiteral elements: MessagePackValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (MessagePackValue, MessagePackValue)...) {
        self = .map(elements.map { Pair(key: $0.0, value: $0.1) })
    }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(floatLiteral value: Double) { self = .float(value) }
    public init(nilLiteral: ()) { self = .null }
}
