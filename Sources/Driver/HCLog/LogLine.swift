import Shared

/// One line of JSON that never grows beyond `capacity` bytes and is well-formed at any length:
/// strings are cut where they no longer fit, fields that do not fit are left out.
package struct LogLine {
    /// A pipe takes a write of this length (PIPE_BUF) whole or not at all; see pipe(7).
    static let capacity = 4096
    /// No single string takes more, so that a long message leaves room for the fields.
    private static let longestString = 2800
    private static let ending: StaticString = #","truncated":true}"#

    private(set) var bytes: [UInt8] = [UInt8(ascii: "{")]
    private var limit = LogLine.capacity - LogLine.ending.utf8CodeUnitCount - 1
    private var overflowed = false

    /// Appends `"key":value`.
    mutating func field(_ key: String, _ value: any LogValue) {
        let start = bytes.count
        if start > 1 { bytes.append(UInt8(ascii: ",")) }
        append(quoted: key)
        bytes.append(UInt8(ascii: ":"))
        value.write(to: &self)
        if bytes.count > limit {
            bytes.removeSubrange(start...)
            overflowed = true
        }
    }

    /// The line with its newline; nothing may be appended afterwards.
    mutating func finish() -> [UInt8] {
        if overflowed {
            bytes += UnsafeBufferPointer(start: Self.ending.utf8Start, count: Self.ending.utf8CodeUnitCount)
        } else {
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// For `LogValue` only: a JSON value that needs no quotes.
    mutating func append(raw text: String) { bytes += text.utf8 }

    /// For `LogValue` only: a JSON string, cut with an ellipsis where it gets too long.
    mutating func append(quoted text: String) {
        let ellipsis = "…".utf8
        let room = min(Self.longestString, limit - bytes.count) - ellipsis.count - 2
        let end = bytes.count + max(room, 0)
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            let before = bytes.count
            JSONString.append(scalar, to: &bytes)
            if bytes.count > end {
                bytes.removeSubrange(before...)
                bytes += ellipsis
                overflowed = true
                break
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
