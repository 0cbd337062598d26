import Shared
import Testing

@Suite struct ProcessStatTests {
    /// Fields 3 to 24 of /proc/<pid>/stat; the 22nd is the start time.
    private static let fields = "S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 987654 13 14"

    @Test(arguments: [
        "(sh)", "()", "(a b)", "(a) S 1 (b)", "(\")", "(((\\)", "(a\nb)",
        "(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22)",
    ])
    func theNameOfAProcessConfusesNothing(name: String) {
        #expect(startTime(in: "4711 \(name) \(Self.fields)\n") == 987_654)
    }

    @Test(arguments: [
        "", ")", "4711 (sh)", "4711 (sh) S 1 2 3",
        "4711 sh S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 987654 13",
        "4711 (sh) S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 x 13",
        "4711 (sh) S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 -1 13",
        "4711 (sh) S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 18446744073709551616 13",
    ])
    func whatIsNoStatHasNoStartTime(text: String) {
        #expect(startTime(in: text) == nil)
    }

    private func startTime(in text: String) -> UInt64? {
        Array(text.utf8).withUnsafeBytes { processStartTime(inStat: $0) }
    }
}
