/// One value of a MessagePack message.
package enum MessagePackValue: Hashable, Sendable {
    case null
    case bool(Bool)
    /// Every integer that fits, whatever width and signedness it was sent with.
    case int(Int64)
    /// Only what is beyond Int64's range.
    case uint(UInt64)
    /// Both widths.
    case float(Double)
    /// The bytes of a str (or of the old specification's raw, which is the same on the wire). MessagePack
    /// promises UTF-8 but nothing holds a sender to it: whoever wants text has to check.
    case string([UInt8])
    case binary([UInt8])
    case array([MessagePackValue])
    /// In the sender's order; no key is there twice.
    case map([Pair])
    case ext(type: Int8, data: [UInt8])

    package struct Pair: Hashable, Sendable {
        package let key: MessagePackValue
        package let value: MessagePackValue
    }
}

extension MessagePackValue {
    /// The text of a str or bin value; nil for other values and for bytes that are not UTF-8.
    package var text: String? {
        switch self {
        case .string(let bytes), .binary(let bytes): String(validating: bytes, as: UTF8.self)
        default: nil
        }
    }

    /// The value where it is a whole number of any encoding, floats included: HCL knows but one kind of number.
    /// Nil for other values, fractions, and what is beyond Int64.
    package var wholeNumber: Int64? {
        switch self {
        case .int(let number): number
        case .float(let number): Int64(exactly: number)
        default: nil
        }
    }
}
