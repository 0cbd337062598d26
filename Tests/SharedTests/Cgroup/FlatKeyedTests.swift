import Testing

@testable import Shared

@Suite struct FlatKeyedTests {
    private func value(_ key: StaticString, in text: String) -> UInt64? {
        Array(text.utf8).withUnsafeBytes { flatKeyedValue(key, in: $0) }
    }

    private static let memoryEvents = "low 0\nhigh 12\nmax 34\noom 5\noom_kill 6\noom_group_kill 7\n"

    @Test func everyKeyHasItsValue() {
        #expect(value("low", in: Self.memoryEvents) == 0)
        #expect(value("high", in: Self.memoryEvents) == 12)
        #expect(value("max", in: Self.memoryEvents) == 34)
        #expect(value("oom", in: Self.memoryEvents) == 5)
        #expect(value("oom_kill", in: Self.memoryEvents) == 6)
        #expect(value("oom_group_kill", in: Self.memoryEvents) == 7)
        #expect(value("populated", in: "populated 1\nfrozen 0\n") == 1)
        #expect(value("frozen", in: "populated 1\nfrozen 0\n") == 0)
    }

    @Test func theLastLineNeedsNoNewline() {
        #expect(value("frozen", in: "populated 1\nfrozen 3") == 3)
    }

    @Test func aKeyIsAWholeWordAtTheBeginningOfALine() {
        #expect(value("oom_k", in: Self.memoryEvents) == nil)
        #expect(value("kill", in: Self.memoryEvents) == nil)
        #expect(value("oom", in: "xoom 1\noom_kill 2\noom 3\n") == 3)
        #expect(value("oom", in: " oom 1\n") == nil)
        #expect(value("missing", in: Self.memoryEvents) == nil)
        #expect(value("low", in: "") == nil)
        #expect(value("low", in: "\n\n") == nil)
    }

    @Test(arguments: [
        "low", "low\n", "low \n", "low  1\n", "low x\n", "low -1\n", "low 1x\n", "low 1 2\n", "low\t1\n",
        "low max\n",
    ])
    func whatIsNoNumberHasNoValue(text: String) {
        #expect(value("low", in: text) == nil)
    }

    @Test func numbersReachToTheirEndAndNotBeyond() {
        #expect(value("low", in: "low 18446744073709551615\n") == .max)
        #expect(value("low", in: "low 18446744073709551616\n") == nil)
        #expect(value("low", in: "low 99999999999999999999999\n") == nil)
        #expect(value("low", in: "low 007\n") == 7)
    }
}
