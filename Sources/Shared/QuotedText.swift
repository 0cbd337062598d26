/// `text` between double quotes for an error message, fit for one line of a log and for a C string.
///
/// Quotes and backslashes are escaped as in HCL, control characters (NUL above all) are written `\u00XX`, as are those that
/// a terminal shows nothing for or that change the direction of what follows,
/// and what goes beyond `limit` bytes of UTF-8 is replaced by `…`.
public func quoted(_ text: String, limit: Int = 200) -> String {
    var result = "\""
    var used = 0
    for scalar in text.unicodeScalars {
        used += UTF8.width(scalar)
        if used > limit {
            result += "…"
            break
        }
        switch scalar.value {
        case 0x22: result += "\\\""
        case 0x5C: result += "\\\\"
        case 0x0A: result += "\\n"
        case 0x09: result += "\\t"
        case 0..<0x20, 0x7F..<0xA0:
            result += "\\u00"
            result.unicodeScalars.append(hexadecimalDigit(scalar.value >> 4))
            result.unicodeScalars.append(hexadecimalDigit(scalar.value & 0xF))
        case 0x061C, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF:
            result += "\\u"
            for shift: UInt32 in [12, 8, 4, 0] {
                result.unicodeScalars.append(hexadecimalDigit(scalar.value >> shift & 0xF))
            }
        default: result.unicodeScalars.append(scalar)
        }
    }
    result += "\""
    return result
}

private func hexadecimalDigit(_ nibble: UInt32) -> Unicode.Scalar {
    let byte = UInt8(truncatingIfNeeded: nibble)
    return Unicode.Scalar(byte < 10 ? 0x30 + byte : 0x57 + byte)
}
