/// Bytes of the command line and the environment as text, without loss: what is not UTF-8 has a place in a `String`
/// too, and becomes the bytes that it was when it leaves this program.
///
/// A byte of what is not UTF-8 is the scalar U+10FF00 + byte, which nobody has assigned. Where the bytes themselves
/// spell such a scalar, they are taken byte by byte as well, so that there is one text for any bytes and one sequence
/// of bytes for any text (the idea of Python's surrogateescape, PEP 383).
package enum ByteText {
    private static let escapes = UInt32(0x10FF00)...0x10FFFF

    /// The text that stands for bytes.
    package static func text(_ bytes: some Collection<UInt8>) -> String {
        let bytes = Array(bytes)
        var scalars = String.UnicodeScalarView()
        var rest = bytes[...]
        while let first = rest.first {
            if first < 0x80 {
                scalars.append(Unicode.Scalar(first))
                rest = rest.dropFirst()
                continue
            }
            let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
            let part = rest.prefix(length)
            if let scalar = scalar(part) {
                scalars.append(scalar)
                rest = rest.dropFirst(length)
            } else {
                if let escape = Unicode.Scalar(escapes.lowerBound + UInt32(first)) { scalars.append(escape) }
                rest = rest.dropFirst()
            }
        }
        return String(scalars)
    }

    /// The text of a C string's bytes.
    package static func text(cString: UnsafePointer<CChar>) -> String {
        UnsafeBufferPointer(start: cString, count: length(of: cString)).withMemoryRebound(to: UInt8.self) { text($0) }
    }

    /// The bytes that a text stands for.
    package static func bytes(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            if escapes.contains(scalar.value) {
                bytes.append(UInt8(scalar.value - escapes.lowerBound))
            } else {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        return bytes
    }

    /// Whether a text stands for bytes that are UTF-8.
    package static func isUTF8(_ text: String) -> Bool { !text.unicodeScalars.contains { escapes.contains($0.value) } }

    /// The one scalar that bytes spell; nil where they spell none, several, or one that means a byte here.
    private static func scalar(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        let scalars = text.unicodeScalars
        guard let scalar = scalars.first, scalars.count == 1, !escapes.contains(scalar.value) else { return nil }
        return scalar
    }

    private static func length(of text: UnsafePointer<CChar>) -> Int {
        var length = 0
        while text[length] != 0 { length += 1 }
        return length
    }
}
