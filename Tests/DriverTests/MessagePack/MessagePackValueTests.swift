import Testing

@testable import MessagePack
@testable import Planning

@Suite struct MessagePackValueTests {
    @Test func textIsReadFromStrAndBinAndMustBeUTF8() {
        #expect(MessagePackValue.string(Array("ü".utf8)).text == "ü")
        #expect(MessagePackValue.binary(Array("ü".utf8)).text == "ü")
        #expect(MessagePackValue.string([0xFF]).text == nil)
        #expect(MessagePackValue.string([0xC0, 0x80]).text == nil)
        #expect(MessagePackValue.string([0xED, 0xA0, 0x80]).text == nil)
        #expect(MessagePackValue.int(1).text == nil)
    }

    static let numbers: [(MessagePackValue, Int64?)] = [
        (.int(-5), -5), (.float(500), 500), (.float(-0.0), 0), (.float(0.5), nil), (.float(.nan), nil),
        (.float(.infinity), nil), (.float(9_223_372_036_854_775_808), nil), (.uint(1 << 63), nil),
        (.string([0x31]), nil), (.bool(true), nil),
    ]

    @Test(arguments: numbers)
    func wholeNumbersAreReadFromEveryKindOfNumber(value: MessagePackValue, number: Int64?) {
        #expect(value.wholeNumber == number)
    }

    static let descriptions: [(MessagePackValue, String)] = [
        (.null, "null"), (.bool(true), "true"), (.int(-5), "-5"), (.uint(.max), "18446744073709551615"),
        (.float(0.5), "0.5"), (.string(Array("a\"\n".utf8)), #""a\"\n""#), (.binary([0x61]), #""a""#),
        (.string([0xFF, 0xFE]), "(2 bytes that are not UTF-8)"),
        (.array([.int(1), .string([0x61])]), #"[1, "a"]"#),
        (.map([.init(key: .string([0x61]), value: .null)]), #"{"a" = null}"#),
        (.ext(type: -1, data: [1, 2]), "(MessagePack extension -1, 2 bytes)"),
    ]

    @Test(arguments: descriptions)
    func valuesAreShownAsInHCL(value: MessagePackValue, text: String) {
        #expect(value.description == text)
    }

    @Test func longValuesAreCut() {
        let long = MessagePackValue.array([MessagePackValue](repeating: .int(123), count: 100_000))
        #expect(long.description.hasSuffix(", …]"))
        #expect(long.description.utf8.count < 200)
    }
}
