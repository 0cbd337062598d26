import Testing

@testable import Commands
@testable import Planning

@Suite struct OptionScannerTests {
    private let scanner = OptionScanner(options: [
        CommandOption(name: "memory", letter: "m", value: "MB", help: "memory"),
        CommandOption(name: "memory-max", value: "MB", help: "more memory"),
        CommandOption(name: "verbose", letter: "v", help: "all of it"),
    ])

    private func names(_ words: [String]) throws(UsageError) -> [String] {
        try scanner.scan(words).found.map { $0.name + ($0.value.map { "=" + $0 } ?? "") }
    }

    @Test(
        arguments: [
            (["--memory", "5"], ["memory=5"]), (["--memory=5"], ["memory=5"]), (["-m", "5"], ["memory=5"]),
            (["-m5"], ["memory=5"]), (["-vm5", "-v"], ["verbose", "memory=5", "verbose"]),
            (["--verb"], ["verbose"]), (["--memory-m", "7"], ["memory-max=7"]), (["--memory="], ["memory="]),
            (["--memory", "--verbose"], ["memory=--verbose"]), ([], []),
            (["--memory", "1", "--memory", "2"], ["memory=1", "memory=2"]),
        ] as [([String], [String])])
    func optionsAreFoundInTheirOrder(words: [String], expected: [String]) throws {
        #expect(try names(words) == expected)
        #expect(try scanner.scan(words).rest.isEmpty)
    }

    @Test(
        arguments: [
            (["sleep", "--memory", "5"], ["sleep", "--memory", "5"]), (["-v", "--", "-v"], ["-v"]),
            (["--", "--", "x"], ["--", "x"]), (["-"], ["-"]), ([""], [""]),
            (["-v", "ü", "--nonsense"], ["ü", "--nonsense"]),
        ] as [([String], [String])])
    func theFirstWordThatIsNoOptionEndsThem(words: [String], rest: [String]) throws {
        #expect(try scanner.scan(words).rest == rest)
    }

    @Test(
        arguments: [
            (["--nonsense"], "unknown option \"--nonsense\""),
            (["-v", "--nonsense=3", "x"], "unknown option \"--nonsense=3\""),
            (["-x"], "unknown option \"-x\""),
            (["-vx"], "unknown option \"-x\" in \"-vx\""),
            (["--mem", "5"], "option \"--mem\" is ambiguous; it matches --memory, --memory-max"),
            (["--memory"], "option --memory needs a value: --memory MB"),
            (["-v", "-m"], "option --memory needs a value: --memory MB"),
            (["--verbose=1"], "option --verbose takes no value, and \"--verbose=1\" gives it one"),
        ] as [([String], String)])
    func mistakesAreNamed(words: [String], text: String) {
        let error = #expect(throws: UsageError.self) { try scanner.scan(words) }
        #expect(error?.text == text)
    }
}
