// For the Driver alone: an Executor takes the bytes as they are.
#if !EMBEDDED
    /// Bytes of the command line and the environment as text, without loss: what is not UTF-8 has a place in a `String`
    /// too, and becomes the bytes that it was when it leaves this program.
    ///
    /// A byte of what is not UTF-8, which is 0x80 or above, is the scalar U+10FF00 + byte, which is not assigned.
    /// Where the bytes themselves spell such a scalar, they are taken byte by byte as well, so that there is one text
    /// for any bytes and one sequence of bytes for any text (the idea of Python's surrogateescape, PEP 383). No text
    /// becomes a `/`, a NUL or another byte below 0x80 that is not in it.
    public enum ByteText {
        private static let escapes = UInt32(0x10FF80)...0x10FFFF

        /// The text that stands for bytes.
        public static func text(_ bytes: some Collection<UInt8>) -> String {
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
                    if let escape = Unicode.Scalar(0x10FF00 + UInt32(first)) { scalars.append(escape) }
                    rest = rest.dropFirst()
                }
            }
            return String(scalars)
        }

        /// The text of a C string's bytes.
        public static func text(cString: UnsafePointer<CChar>) -> String {
            UnsafeBufferPointer(start: cString, count: length(of: cString)).withMemoryRebound(to: UInt8.self) {
                text($0)
            }
        }

        /// The bytes that a text stands for.
        public static func bytes(_ text: String) -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.utf8.count)
            for scalar in text.unicodeScalars {
                if let byte = byte(of: scalar) {
                    bytes.append(byte)
                } else {
                    bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
                }
            }
            return bytes
        }

        /// Whether a text stands for bytes that are UTF-8.
        public static func isUTF8(_ text: String) -> Bool { !text.unicodeScalars.contains { byte(of: $0) != nil } }

        /// The byte, of what is not UTF-8, that a scalar stands for; nil for a scalar that is itself.
        public static func byte(of scalar: Unicode.Scalar) -> UInt8? {
            escapes.contains(scalar.value) ? UInt8(truncatingIfNeeded: scalar.value) : nil
        }

        /// The text as others can read it, where they take UTF-8 only: U+FFFD for each byte of what is not UTF-8.
        public static func readable(_ text: String) -> String {
            if isUTF8(text) { return text }
            return String(String.UnicodeScalarView(text.unicodeScalars.map { byte(of: $0) == nil ? $0 : "\u{FFFD}" }))
        }

        /// Calls `body` with a path for the kernel: the bytes that a text stands for, and a NUL.
        public static func withPath<Result>(_ path: String, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
            if isUTF8(path) { return path.withCString(body) }
            return (bytes(path) + [0]).withUnsafeBufferPointer { bytes in
                bytes.withMemoryRebound(to: CChar.self) { characters in
                    // It has the NUL at least.
                    guard let start = characters.baseAddress else { return "".withCString(body) }
                    return body(start)
                }
            }
        }

        /// The one scalar that bytes spell; nil where they spell none, several, or one that means a byte here.
        private static func scalar(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
            guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
            let scalars = text.unicodeScalars
            guard let scalar = scalars.first, scalars.count == 1, byte(of: scalar) == nil else { return nil }
            return scalar
        }

        private static func length(of text: UnsafePointer<CChar>) -> Int {
            var length = 0
            while text[length] != 0 { length += 1 }
            return length
        }
    }
#endif
