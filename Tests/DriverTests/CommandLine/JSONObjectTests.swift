import Shared
import Testing

@testable import Commands
@testable import Planning

@Suite struct JSONObjectTests {
    @Test func jsonIsEscaped() {
        var object = JSONObject()
        object.add("text", "a\"\\\n\u{1}ü")
        object.add("none", nil as String?)
        object.add("number", 7)
        object.add("yes", true)
        #expect(object.text == #"{"text": "a\"\\\n\u0001ü", "none": null, "number": 7, "yes": true}"#)
    }

    /// One escaper for the log and the command line.
    @Test(arguments: [
        ("\u{0}\u{8}\r\t\u{1B}[2J\u{7F}", #"\u0000\u0008\r\t\u001b[2J\u007f"#),
        // C1: CSI in one character.
        ("\u{9B}31m\u{A0}", "\\u009b31m\u{A0}"),
        (ByteText.text([0x61, 0xFF, 0xC3, 0x62]), "a\u{FFFD}\u{FFFD}b"),
        (#"\"}, {"#, #"\\\"}, {"#), ("😀\u{10FF2F}", "😀\u{10FF2F}"),
    ])
    func whateverTheTextIs(_ text: String, _ escaped: String) {
        #expect(JSONString.quoted(text) == "\"" + escaped + "\"")
        var bytes: [UInt8] = []
        for scalar in text.unicodeScalars { JSONString.append(scalar, to: &bytes) }
        #expect(String(decoding: bytes, as: UTF8.self) == escaped)
    }
}
