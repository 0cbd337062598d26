import Testing

@testable import Driver

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

    @Test func jsonIsEscaped() {
        var object = JSONObject()
        object.add("text", "a\"\\\n\u{1}ü")
        object.add("none", nil as String?)
        object.add("number", 7)
        object.add("yes", true)
        #expect(object.text == #"{"text": "a\"\\\u000a\u0001ü", "none": null, "number": 7, "yes": true}"#)
    }

    @Test func locksAreFoundByFile() {
        let holders = LockHolders(
            """
            1: FLOCK  ADVISORY  WRITE 811 00:19:5678 0 EOF
            1: -> FLOCK  ADVISORY  WRITE 812 00:19:5678 0 EOF
            2: POSIX  ADVISORY  WRITE 813 fe:00:77 0 EOF
            3: FLOCK  ADVISORY  WRITE -1 fe:00:78 0 EOF
            4: FLOCK
            """)
        #expect(holders.holder(major: 0, minor: 0x19, inode: 5678) == 811)
        #expect(holders.holder(major: 0xFE, minor: 0, inode: 77) == nil)
        #expect(holders.holder(major: 0xFE, minor: 0, inode: 78) == nil)
    }
}
