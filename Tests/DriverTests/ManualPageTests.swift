import Shared
import Testing

@testable import Commands
@testable import EventLoop
@testable import Messages
@testable import Planning

/// The manual page has every option that there is, and no other.
@Suite struct ManualPageTests {
    private static let page: String = {
        guard let end = #filePath.firstRange(of: "/Tests/DriverTests/"),
            let bytes = try? HostFile.read(#filePath[..<end.lowerBound] + "/docs/nomad-driver-exec2.8")
        else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }()

    /// The list items below a heading of either kind, up to the next.
    private static func items(_ heading: String) -> [String] {
        guard let start = page.firstRange(of: "\n\(heading)\n") else { return [] }
        let rest = page[start.upperBound...]
        let end = [".Sh ", ".Ss "].compactMap { rest.firstRange(of: "\n\($0)")?.lowerBound }.min() ?? rest.endIndex
        return rest[..<end].split(separator: "\n").filter { $0.hasPrefix(".It ") }.map { String($0.dropFirst(4)) }
    }

    /// An option of the command line as mdoc(7) writes it.
    private static func item(_ option: CommandOption) -> String {
        (option.letter.map { "Fl \($0) , " } ?? "") + "Fl -\(option.name)" + (option.value.map { " Ar \($0)" } ?? "")
    }

    /// An option of a configuration likewise.
    private static func item(_ option: OptionSchema) -> String {
        var facts = option.type
        if option.required { facts += ", required" }
        if let literal = option.defaultLiteral { facts += ", default Li " + literal.replacing("\"", with: "\\(dq") }
        return "Ic \(option.name) Pq \(facts)"
    }

    @Test func everyOptionOfTheCommandLineIsThere() {
        #expect(Self.items(".Ss Options of run") == RunOptions.table.map(Self.item))
        #expect(Self.items(".Ss Options of exec") == ExecOptions.table.map(Self.item))
        #expect(Self.items(".Ss Options of trace") == TraceOptions.table.map(Self.item))
        #expect(Self.items(".Ss Options of check") == CheckCommand.options.map(Self.item))
        #expect(Self.items(".Ss Options of tasks") == TasksCommand.options.map(Self.item))
        let top = Self.items(".Ss Commands").filter { $0.hasPrefix("Fl") }
        #expect(top == HelpText.topLevelOptions.map(Self.item))
    }

    @Test func everyOptionOfTheConfigurationsIsThere() {
        #expect(Set(Self.items(".Ss Plugin options")) == Set(PluginConfiguration.schema.map(Self.item)))
        #expect(Set(Self.items(".Ss Task options")) == Set(TaskOptions.schema.map(Self.item)))
    }

    /// The commands that the help lists: a line of two blanks, a word and what it does.
    @Test func everyCommandIsThere() {
        let lines = HelpText.program.split(separator: "\n").drop { $0 != "Run from a shell, it provides:" }.dropFirst()
        let commands = lines.prefix { $0.hasPrefix("  ") }.map { String($0.split(separator: " ")[0]) }
        #expect(!commands.isEmpty)
        let items = Self.items(".Ss Commands").filter { $0.hasPrefix("Cm") }
        #expect(items == commands.map { "Cm \($0)" })
    }
}
