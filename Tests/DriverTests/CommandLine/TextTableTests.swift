import Shared
import Testing

@testable import Commands
@testable import HCLog
@testable import Planning

@Suite struct TextTableTests {
    private static var table: TextTable {
        var table = TextTable(columns: [.init("NAME"), .init("SIZE", isNumber: true), .init("END")])
        table.add([.init("web", .green), .init(7), .init("x")])
        table.add([.init("a b\u{1B}[2J\n"), .init(nil as Int?), .init("")])
        return table
    }

    @Test func columnsAreAligned() {
        #expect(
            Self.table.text(colour: false) == """
                NAME      SIZE  END
                web          7  x
                a_b_[2J_     -  -

                """)
    }

    /// Colours take no room.
    @Test func coloursChangeNothingElse() {
        let coloured = Self.table.text(colour: true)
        #expect(coloured.contains("\u{1B}[32mweb\u{1B}[0m          7"))
        #expect(!coloured.contains("\u{1B}[2J"))
        let plain = coloured.split(separator: "\u{1B}[", omittingEmptySubsequences: false).enumerated().map {
            $0 == 0 ? String($1) : String($1.drop { $0 != "m" }.dropFirst())
        }
        #expect(plain.joined() == Self.table.text(colour: false))
    }

    @Test(
        arguments: [
            (0, "0"), (1023, "1023"), (1024, "1.0K"), (1536, "1.5K"), (64 << 20, "64.0M"), ((1 << 20) - 1, "1.0M"),
            (UInt64.max, "16384.0P"),
        ] as [(UInt64, String)])
    func bytesAreShort(_ count: UInt64, _ text: String) {
        #expect(TextTable.bytes(count) == text)
    }

    @Test(
        arguments: [
            (0, "0s"), (59, "59s"), (60, "1m00s"), (187, "3m07s"), (3600, "1h00m"), (18_660, "5h11m"),
            (86_399, "23h59m"),
            (86_400, "1d00h"), (1_047_600, "12d03h"),
        ] as [(Int64, String)])
    func durationsAreShort(_ seconds: Int64, _ text: String) {
        #expect(TextTable.duration(nanoseconds: seconds * 1_000_000_000) == text)
    }

    @Test func aNameOnOneLine() {
        #expect("a b/\u{1B}[31m\nü\u{2028}".onOneLine == "a b/_[31m_ü_")
        #expect(ByteText.text([0x61, 0xFF]).onOneLine == "a\u{FFFD}")
    }
}
