import Glibc
import Shared
import Testing

@testable import Commands
@testable import EventLoop
@testable import Exec
@testable import Host
@testable import Messages
@testable import Planning
@testable import Supervision

/// What README and docs/ say of options, paths and messages is what the program has.
@Suite struct DocumentationTests {
    private static let readme = text(of: "README.md")
    private static let troubleshooting = text(of: "docs/troubleshooting.md")

    private static func text(of name: String) -> String {
        guard let end = #filePath.firstRange(of: "/Tests/DriverTests/"),
            let bytes = try? HostFile.read(#filePath[..<end.lowerBound] + "/" + name)
        else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The part below a heading, up to the next.
    private static func section(_ heading: String, of document: String = readme) -> Substring {
        guard let start = document.firstRange(of: "\n## \(heading)\n") else { return "" }
        let rest = document[start.upperBound...]
        return rest[..<(rest.firstRange(of: "\n## ")?.lowerBound ?? rest.endIndex)]
    }

    /// The first two or three columns of a table's rows, without their back quotes.
    private static func rows(_ section: Substring) -> [[String]] {
        section.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { row in
            row.split(separator: "|").prefix(3).map { $0.filter { $0 != "`" }.trimmed }
        }
    }

    @Test func thePluginOptionsAreTheSchemas() {
        let expected = PluginConfiguration.schema.map { [$0.name, $0.type, $0.defaultLiteral ?? "not set"] }
        #expect(Set(Self.rows(Self.section("Plugin options"))) == Set(expected))
    }

    @Test func theTaskOptionsAreTheSchemas() {
        let rows = Self.rows(Self.section("Task options"))
        #expect(Set(rows.map { $0.prefix(2) }) == Set(TaskOptions.schema.map { [$0.name, $0.type] }))
        for option in TaskOptions.schema {
            #expect((rows.first { $0[0] == option.name }?[2] == "required") == option.required)
        }
    }

    @Test func theDefaultPathsAreAllThereAndNoOthers() throws {
        let start = try #require(Self.readme.firstRange(of: "### Default paths\n"))
        let part = Self.readme[start.upperBound...].prefix { $0 != "#" }
        var documented: Set<String> = []
        for line in part.split(separator: "\n") where line.hasPrefix("| ") {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            guard cells.count == 5, !line.contains("own directories") else { continue }
            let modes = cells[2].filter { $0 != "`" }.trimmed
            for path in cells[3].split(separator: "`") where path.hasPrefix("/") {
                documented.insert(modes + ":" + path)
            }
        }
        #expect(documented == Set(UnveilDefault.paths.map(\.rule.text)))
    }

    @Test func theTableOfKernelsIsThePrograms() throws {
        let security = Self.text(of: "docs/security.md")
        let start = try #require(security.firstRange(of: "### What each kernel adds\n"))
        let part = security[start.upperBound...].prefix { $0 != "#" }
        let rows = part.split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst()
        let expected = LandlockProtection.all.map {
            "| \($0.minimumABI) | \(LandlockProtection.kernel(ofABI: $0.minimumABI)) | \($0.name) | \($0.without) |"
        }
        #expect(rows.map(String.init) == expected)
    }

    @Test func theAttributesAreThoseOfTheFingerprint() {
        let facts = HostFacts(
            effectiveUser: 0, systemName: "Linux", kernelRelease: "6.1.0", cgroup: nil, landlock: .version(2),
            executor: ExecutorSearch(found: nil, misses: []))
        let report = FingerprintReport(facts, configuration: PluginConfiguration())
        let documented = Self.rows(Self.section("Node attributes")).map { $0[0] }
        #expect(Set(documented) == Set(report.attributes.keys).union(["driver.exec2"]))
    }

    @Test func theOptionsOfRunAreAllThere() {
        let section = Self.section("Without Nomad")
        for option in RunOptions.table where option.name != "help" {
            let forms = (option.letter.map { "-\($0)`, `" } ?? "") + "--" + option.name
            let row = "| `\(forms)\(option.value.map { " " + $0 } ?? "")` |"
            #expect(section.contains(row), "\(row)")
        }
    }

    @Test func theClosedSystemCallsAreAllThereAndNoOthers() throws {
        let rows = Self.section("System calls", of: Self.text(of: "docs/security.md"))
            .split(separator: "\n").filter { $0.hasPrefix("| `") }
            .map { $0.split(separator: "|").map(\.trimmed) }
        #expect(Set(rows.map { $0[0] }) == Set(SyscallGroup.allCases.map { "`\($0.rawValue)`" }))
        for group in SyscallGroup.allCases {
            let row = try #require(rows.first { $0[0] == "`\(group.rawValue)`" })
            try #require(row.count == 5)
            var names: [String] = []
            for rule in group.rules where names.last != rule.call.name { names.append(rule.call.name) }
            let closed = names.map { "`\($0)`" }.joined(separator: " ")
            #expect(row[1] == (group == .newer ? "numbers above \(SyscallArchitecture.lastKnownNumber)" : closed))
            for (error, name) in [(EPERM, "EPERM"), (ENOSYS, "ENOSYS"), (EAFNOSUPPORT, "EAFNOSUPPORT")] {
                let answers = group == .newer ? error == ENOSYS : group.rules.contains { $0.error == error }
                #expect(row[2].contains(name) == answers, "\(group) \(name)")
            }
            let openedBy = group.openedBy.map { "`\($0.name)`" }.joined(separator: " ")
            #expect(row[3] == (openedBy.isEmpty ? "–" : openedBy))
            #expect(row[4].count > 10)
        }
    }

    @Test func whatRootHasIsTheSame() {
        let names = Capability.allCases.filter { Capability.forRoot & $0.bit != 0 }.map { "`\($0.name)`" }
        let security = Self.section("Capabilities", of: Self.text(of: "docs/security.md"))
        for name in names {
            #expect(security.contains(name))
            #expect(Self.section("Limits").contains(name))
        }
    }

    // MARK: Messages

    private func expectMessage(_ message: String) {
        let isThere = Self.troubleshooting.contains(message)
        #expect(isThere, "docs/troubleshooting.md lacks: \(message)")
    }

    @Test func everyHealthTextIsThere() {
        let cgroup = CgroupHierarchy(path: "<path>", controllers: [])
        var facts = HostFacts(
            effectiveUser: 4711, systemName: "Linux", kernelRelease: "4.0", cgroup: cgroup, landlock: .notBuiltIn,
            executor: ExecutorSearch(found: nil, misses: [.init(path: "<path>", reason: "<reason>")]),
            stateDirectoryFault: .untrustedPath("<path>", .writable("<path>", true)))
        var failures = HostCheck.all(facts)
        for fault: StateDirectoryFault in [
            .untrustedPath("<path>", .owned("<path>", 4711)),
            .untrustedPath("<path>", .unreadable("<path>", Errno(rawValue: EPERM))),
            .takenByOther("<path>", 4711), .unusable("<path>", Errno(rawValue: EPERM)),
        ] {
            facts.stateDirectoryFault = fault
            failures += HostCheck.all(facts)
        }
        facts.cgroup = nil
        facts.landlock = .notEnabled
        failures += HostCheck.all(facts)
        facts.landlock = .unknown(Errno(rawValue: EPERM))
        failures += HostCheck.all(facts)
        facts.landlock = .version(4711)
        failures += HostCheck.all(facts, landlockMinABI: 4712)
        let failed = failures.filter { !$0.ok }
        #expect(Set(failed.map(\.name)).count == HostCheck.all(facts).count)
        for failure in failed {
            var text = failure.detail.replacing("4711", with: "<n>").replacing("4712", with: "<m>")
                .replacing("Linux 4.0", with: "Linux <release>")
                .replacing(Errno(rawValue: EPERM).text, with: "<reason>")
            for controller in HostCheck.controllers {
                text = text.replacing("the \(controller) controller", with: "the <name> controller")
            }
            expectMessage(text)
        }
    }

    @Test func everyStepOfALaunchIsThere() {
        for stage in LaunchStage.allCases { expectMessage(stage.attempt) }
    }

    @Test func everyErrorOfACallIsThere() {
        let errors: [TaskError] = [
            .unknown, .notRunning(id: "<id>"), .stillRunning(id: "<id>"), .cannotBeKilled(id: "<id>", executor: 4711),
        ]
        for error in errors { expectMessage(error.text.replacing("4711", with: "<pid>")) }
        for action in TaskAction.allCases { expectMessage(TaskError.starting(id: "<id>", action).text) }
        let refusal = SystemError("", "", Errno(rawValue: EIO))
        let kept = TaskError.notRemoved(id: "<id>", refusal).text.replacing(refusal.text, with: "<reason>")
        expectMessage(kept)
        let links: [LinkError] = [
            .notReading(executor: 4711), .noAnswer(executor: 4711, seconds: ExecutorLink.answerSeconds),
            .gone(executor: 4711),
            .otherProtocol(executor: 4711),
        ]
        for error in links {
            let text = TaskError.executor(id: "<id>", error).text.replacing("4711", with: "<pid>")
            // The advice behind it is told in the document's own words.
            expectMessage(String(text.prefix { $0 != ";" && !$0.isNumber }))
        }
    }

    @Test func everyLeaveOfAnExecutorIsThere() {
        let all: [ExecutorTermination] = [
            .exited(1), .exited(2), .exited(3), .exited(4), .killed(signal: SIGKILL), .killed(signal: 4712), .unknown,
        ]
        for leave in all {
            let text = leave.failureOfStart(executor: 4711, directory: "<path>")
            for part in text.replacing("4711", with: "<pid>").replacing("4712", with: "<n>").split(
                separator: "started the task: ")
            {
                expectMessage(String(part))
            }
            expectMessage(leave.lossOfTask(executor: 4711, directory: "<path>").replacing("4711", with: "<pid>"))
        }
    }

    @Test func everyErrorOfAnExecIsThere() {
        let errors: [ExecError] = [
            .emptyCommand("<id>"), .olderExecutor("<id>", executor: 4711),
            .timeIsUp("<id>", command: "<name>", seconds: 4711),
            .noReport("<id>", SystemError("read the report of", "attendant 4711", Errno(rawValue: EIO))),
        ]
        let leaves: [ExecutorTermination] = [
            .exited(0), .exited(2), .exited(4), .killed(signal: SIGKILL), .killed(signal: 4712), .unknown,
        ]
        for error in errors + leaves.map({ .attendantLost("<id>", attendant: 4711, $0) }) {
            let text = error.text.replacing("4711.0", with: "<n>").replacing("4711", with: "<pid>")
            expectMessage(text.replacing("4712", with: "<n>").replacing(Errno(rawValue: EIO).text, with: "<reason>"))
        }
    }

    @Test func everyDamageOfARecordIsThere() {
        let all: [ExitRecordDamage] = [
            .tooShort(bytes: 4711), .notARecord, .newerFormat(version: 4711), .lengthMismatch, .checksumMismatch,
            .undecodable,
        ]
        let oneLine = Self.troubleshooting.replacing("\n", with: " ")
        for damage in all { #expect(oneLine.contains(damage.text.replacing("4711", with: "<n>")), "\(damage.text)") }
    }

    @Test func everyEventIsThere() throws {
        var record = ExitRecord(
            taskDirectory: "", exitCode: 127, signal: 0, oomKilled: false, startedAt: 0, endedAt: 0, pid: 1,
            execError: .noSuchFile, execProgram: "<command>")
        expectMessage(try #require(TaskEvent.message(about: .recorded(record), memory: (nil, nil))))
        (record.execError, record.oomKilled) = (nil, true)
        let oom = try #require(TaskEvent.message(about: .recorded(record), memory: (7 << 20, 7 << 20)))
        expectMessage(oom.replacing("7 MB", with: "<n> MB"))
        expectMessage(String(LogReaders.message("<path>").prefix { $0 != ";" }))
    }

    @Test func everyErrorOfAUserIsThere() {
        let all: [TaskUserError] = [
            .empty, .unusableName("<name>"), .dynamicIDOutOfRange("<name>"), .notFound("<name>"),
            .uidOutOfRange("<name>"), .noAccountOfUID("<name>"), .groupsUnknown("<name>"),
        ]
        for error in all { expectMessage(error.description) }
        expectMessage("user \"<name>\": cannot look it up on this host: <reason>")
        let hanging = TaskUserError.noAnswer("<name>", seconds: 20).description.replacing("20 s", with: "<n> s")
        expectMessage(String(hanging[..<(hanging.firstRange(of: ": a name service")?.lowerBound ?? hanging.endIndex)]))
    }

    @Test func everyProblemOfARuleIsThere() {
        let problems: [UnveilRuleError.Problem] = [
            .noColon, .noModes, .unknownMode("<"), .repeatedMode("<"), .misplacedMark, .emptyPath, .nulInPath,
            .relativePath,
        ]
        for problem in problems {
            let reason = UnveilRuleError(rule: "", problem: problem).reason.replacing("\"<\"", with: "\"<letter>\"")
            let detail = reason.firstRange(of: ": must").map { String(reason[..<$0.lowerBound]) } ?? reason
            expectMessage(detail)
        }
    }

    @Test func everyRefusalOfACapabilityIsThere() {
        for error in [TaskCapabilityError.notAllowed("<name>"), .addedAndDropped("<name>"), .notAvailable("<name>")] {
            expectMessage(error.description.replacing("task config: ", with: ""))
        }
    }

    @Test func everyErrorOfALimitIsThere() {
        let all: [ResourceLimitError] = [
            .negative(resource: "<name>", value: 4711), .negative(resource: "memory_max", value: 4711),
            .tooLarge(resource: "<name>", value: 4711, unit: "MB"),
            .memoryMaxBelowMemory(memoryMax: 4711, memory: 4712),
            .unknownCoreSpeed(megahertz: 4711),
        ]
        for error in all {
            expectMessage(error.description.replacing("4711", with: "<n>").replacing("4712", with: "<m>"))
        }
    }
}

extension StringProtocol {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
