import Testing

@testable import Commands
@testable import Planning

/// The scripts have what the parser takes. Whether the shells make of it what they should is a matter of
/// Tests/conformance/test_completion.py.
@Suite struct CompletionTests {
    @Test(arguments: CompletionCommand.Shell.allCases)
    func everyCommandAndOptionIsThere(_ shell: CompletionCommand.Shell) {
        let script = shell.script
        for command in Command.all {
            #expect(script.contains(command.name))
            for option in command.options {
                #expect(script.contains(shell == .fish ? " -l \(option.name) " : "--\(option.name)"), "\(option.name)")
            }
        }
    }

    @Test func theUsageHasEveryCommand() {
        for command in Command.all { #expect(HelpText.program.contains("nomad-driver-exec2 \(command.name) ")) }
        #expect(Command.list == Command.all.dropLast().map(\.name).joined(separator: ", ") + " and completion")
    }

    /// What has no value can complete none.
    @Test func onlyValuesAreCompleted() {
        for option in Command.all.flatMap(\.options) where option.value == nil {
            #expect(option.completes == .nothing, "\(option.name)")
        }
    }
}
