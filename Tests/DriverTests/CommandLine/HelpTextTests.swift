import Testing

@testable import Commands
@testable import Planning

@Suite struct HelpTextTests {
    @Test func optionsStandInTwoColumns() {
        let text = HelpText.options(
            [
                CommandOption(
                    name: "user", letter: "u", value: "NAME", help: "run as this user, whoever that is"),
                CommandOption(name: "a-rather-long-name", help: "short"),
            ], column: 22, width: 40)
        #expect(
            text == """
                  -u, --user NAME     run as this user,
                                      whoever that is
                      --a-rather-long-name
                                      short

                """)
    }

    @Test func everyOptionIsInTheHelp() {
        for option in RunOptions.table {
            #expect(HelpText.run.contains(" --\(option.name)"))
        }
    }
}
