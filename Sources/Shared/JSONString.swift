// For the Driver alone.
#if !EMBEDDED
    /// Strings of JSON (RFC 8259), for the log and for what the command line prints: well-formed whatever the text is,
    /// on one line, and without anything that a terminal would obey.
    public enum JSONString {
        /// Appends a scalar as it stands between the quotes.
        ///
        /// Control characters, C1 included, are `\u00XX`, or the short form where JSON has one for it. A byte of what
        /// is not UTF-8 (`ByteText`) is U+FFFD.
        public static func append(_ scalar: Unicode.Scalar, to bytes: inout [UInt8]) {
            switch scalar {
            case "\"": bytes += #"\""#.utf8
            case "\\": bytes += #"\\"#.utf8
            case "\n": bytes += #"\n"#.utf8
            case "\r": bytes += #"\r"#.utf8
            case "\t": bytes += #"\t"#.utf8
            case "\0"..<" ", "\u{7F}"..<"\u{A0}":
                let digits = Array("0123456789abcdef".utf8)
                bytes += #"\u00"#.utf8
                bytes += [digits[Int(scalar.value >> 4)], digits[Int(scalar.value & 15)]]
            case _ where ByteText.byte(of: scalar) != nil: bytes += UTF8.encodedReplacementCharacter
            default: bytes += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }

        /// A text with its quotes.
        public static func quoted(_ text: String) -> String {
            var bytes = [UInt8(ascii: "\"")]
            for scalar in text.unicodeScalars { append(scalar, to: &bytes) }
            bytes.append(UInt8(ascii: "\""))
            return String(decoding: bytes, as: UTF8.self)
        }
    }
#endif
