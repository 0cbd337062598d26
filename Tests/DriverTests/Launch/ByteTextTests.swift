import Shared
import Testing

@testable import Messages
@testable import Planning

@Suite struct ByteTextTests {
    private static let samples: [[UInt8]] = [
        [], Array("plain".utf8), Array("ü€😀".utf8), [0xFF], [0x61, 0xFE, 0x62], [0xC3], [0xE2, 0x82], [0xC0, 0xAF],
        // A surrogate, and what is beyond the last scalar.
        [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF0, 0x9F, 0x98], Array(0x80...0xFF),
        // The scalars that mean a byte, and a combining mark behind an =.
        Array("\u{10FF00}\u{10FFFF}".utf8), Array("A=\u{301}".utf8),
    ]

    @Test(arguments: samples) func bytesComeBackAsTheyWere(_ bytes: [UInt8]) {
        #expect(ByteText.bytes(ByteText.text(bytes)) == bytes)
    }

    @Test func everyTwoBytesComeBack() {
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                let bytes = [first, second]
                #expect(ByteText.bytes(ByteText.text(bytes)) == bytes)
            }
        }
    }

    @Test func textIsItself() {
        #expect(ByteText.text("ü€😀".utf8) == "ü€😀")
        #expect(ByteText.isUTF8(ByteText.text("ü€😀".utf8)))
        #expect(!ByteText.isUTF8(ByteText.text([0x61, 0xFF])))
        #expect(!ByteText.isUTF8(ByteText.text("\u{10FF80}".utf8)))
    }

    /// Seen before: U+10FF2F was a slash, in a path whose parts had been looked at before.
    @Test func noTextBecomesASlashOrANUL() {
        for value in UInt32(0x10FF00)...0x10FF7F {
            let text = Unicode.Scalar(value).map { String($0) } ?? ""
            #expect(ByteText.bytes(text) == Array(text.utf8))
        }
    }

    @Test func aPathIsItsBytes() {
        let bytes: [UInt8] = [0x2F, 0x61, 0xFF, 0x62]
        for path in [ByteText.text(bytes), "/plain"] {
            ByteText.withPath(path) {
                #expect(String(cString: $0) == String(decoding: ByteText.bytes(path), as: UTF8.self))
            }
        }
    }

    @Test func othersReadAReplacementCharacter() {
        #expect(ByteText.readable(ByteText.text([0x61, 0xE2, 0x82, 0x62])) == "a\u{FFFD}\u{FFFD}b")
        #expect(ByteText.readable("ü") == "ü")
    }

    @Test func aRequestHasTheBytes() {
        let text = ByteText.text([0x61, 0xFF, 0x62])
        let packed = Wire.PluginInfoResponse.encoded(byteText: true) { message, arena in
            message.name = arena.string(text)
        }
        #expect(packed.suffix(3) == [0x61, 0xFF, 0x62])
    }
}
