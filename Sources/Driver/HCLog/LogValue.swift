import Shared

/// A value that can stand in a field of a log line.
package protocol LogValue: Sendable {
    func write(to line: inout LogLine)
}

extension String: LogValue {
    package func write(to line: inout LogLine) { line.append(quoted: self) }
}

extension Bool: LogValue {
    package func write(to line: inout LogLine) { line.append(raw: self ? "true" : "false") }
}

extension LogValue where Self: FixedWidthInteger {
    package func write(to line: inout LogLine) { line.append(raw: String(self)) }
}

extension Int: LogValue {}
extension Int32: LogValue {}
extension Int64: LogValue {}
extension UInt32: LogValue {}
extension UInt64: LogValue {}

/// Bytes that are text as far as they are UTF-8; each other byte is U+FFFD.
extension [UInt8]: LogValue {
    package func write(to line: inout LogLine) { line.append(quoted: ByteText.text(self)) }
}
