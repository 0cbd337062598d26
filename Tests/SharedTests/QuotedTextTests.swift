import Testing

@testable import Shared

@Suite struct QuotedTextTests {
    @Test(arguments: [
        ("plain", #""plain""#),
        ("", #""""#),
        ("a\"b\\c", #""a\"b\\c""#),
        ("a\0b\u{1b}[31m\u{7f}\u{9b}", #""a\u0000b\u001b[31m\u007f\u009b""#),
        ("a\nb\tc", #""a\nb\tc""#),
        ("ü€😀", #""ü€😀""#),
        ("a\u{202e}b\u{200b}c\u{2066}\u{feff}", #""a\u202eb\u200bc\u2066\ufeff""#),
    ])
    func controlCharactersCannotReachALog(text: String, expected: String) {
        #expect(quoted(text) == expected)
    }

    @Test func longTextIsCutAtAWholeCharacter() {
        #expect(quoted("abcdef", limit: 4) == #""abcd…""#)
        #expect(quoted("abcd", limit: 4) == #""abcd""#)
        #expect(quoted("abc€", limit: 4) == #""abc…""#)
    }
}
