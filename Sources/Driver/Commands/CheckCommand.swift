import Glibc
import Host
import Planning
import Shared

/// `check`: whether this host meets the requirements of the driver, line by line.
enum CheckCommand {
    static let options = [
        CommandOption(
            name: "executor", value: "PATH",
            help: "where nomad-driver-exec2-executor is, as the plugin's executor_path says it",
            completes: .files),
        CommandOption(
            name: "state-dir", value: "DIRECTORY",
            help: "the plugin's state_dir; default: \(PluginConfiguration().stateDirectory)", completes: .directories),
        CommandOption(
            name: "json", help: "print JSON: whether the host meets the requirements, and an object for each check"),
        CommandOption(name: "help", letter: "h", help: "show this help"),
    ]

    /// The report: a line for each check, its name and what was found in columns; what to do stands under
    /// the failing line, or under the last of neighbours that have one remedy.
    /// - Parameter colour: Whether `ok` and `FAIL` are coloured (ECMA-48), for a terminal.
    static func report(_ checks: [HostCheck], colour: Bool) -> String {
        let width = checks.map(\.name.count).max() ?? 0
        var text = ""
        for (index, check) in checks.enumerated() {
            let mark = check.ok ? "ok  " : "FAIL"
            let shown = colour ? "\u{1B}[\(check.ok ? 32 : 31)m\(mark)\u{1B}[0m" : mark
            let gap = String(repeating: " ", count: width - check.name.count + 2)
            text += "\(shown)  \(check.name)\(gap)\(check.detail.onOneLine)\n"
            let next = index + 1 < checks.count ? checks[index + 1].remedy : nil
            if let remedy = check.remedy, remedy != next { text += "      -> \(remedy.onOneLine)\n" }
        }
        let failed = checks.filter { !$0.ok }.count
        let outcome =
            failed == 0
            ? "This host meets the requirements of the exec2 driver." : "\(failed) of \(checks.count) checks failed."
        return "\(text)\n\(outcome)\n"
    }

    /// One object, with an array of an object for each check.
    static func json(_ checks: [HostCheck]) -> String {
        let objects = checks.map { check in
            var json = JSONObject()
            json.add("name", check.name)
            json.add("ok", check.ok)
            json.add("detail", check.detail)
            json.add("remedy", check.remedy)
            return json
        }
        var json = JSONObject()
        json.add("fit", checks.allSatisfy(\.ok))
        json.add("version", driverVersion)
        json.add("checks", objects)
        return json.text + "\n"
    }

    /// - Returns: The exit status.
    static func execute(_ words: [String]) throws(UsageError) -> Int32 {
        let (found, rest) = try OptionScanner(options: options).scan(words)
        if found.contains(where: { $0.name == "help" }) {
            Console.write(HelpText.check)
            return 0
        }
        if let word = rest.first { throw UsageError("check takes no argument, and there is \(quoted(word))") }
        let directory = found.last { $0.name == "state-dir" }?.value
        let executor = found.last { $0.name == "executor" }?.value
        if let directory { try OptionScanner.checkPath(directory, of: "state-dir") }
        if let executor { try OptionScanner.checkPath(executor, of: "executor") }
        var facts = HostFacts.gather(executorPath: executor)
        facts.denialEvents = facts.denialEventSupport()
        var checks = HostCheck.all(facts)
        checks += [HostCheck.protections(facts), HostCheck.denialEvents(facts)].compactMap(\.self)
        checks.append(
            StateDirectoryCheck.check(StateDirectoryCheck.look(directory ?? PluginConfiguration().stateDirectory)))
        let isJSON = found.contains { $0.name == "json" }
        Console.write(isJSON ? json(checks) : report(checks, colour: Console.hasColour))
        return checks.allSatisfy(\.ok) ? 0 : CommandLineTool.ExitStatus.failure
    }
}
