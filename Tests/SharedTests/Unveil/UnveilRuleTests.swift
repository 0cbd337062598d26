import Testing

@testable import Shared

@Suite struct UnveilRuleTests {
    static let absolute: [(String, AccessModes, String)] = [
        ("r:/etc/mime.types", .read, "/etc/mime.types"),
        ("rwxc:/srv", .all, "/srv"),
        ("cxwr:/srv", .all, "/srv"),
        ("wr:/a:b:c", [.read, .write], "/a:b:c"),
        ("x:/", .execute, "/"),
        ("r:/with space/ü", .read, "/with space/ü"),
    ]

    @Test(arguments: absolute)
    func absolutePathIsTakenAsItIs(text: String, modes: AccessModes, path: String) throws {
        let rule = try UnveilRule(parsing: text)
        #expect(rule == UnveilRule(modes: modes, path: path))
    }

    @Test(arguments: [
        ("r:conf/a", "/task/web", "/task/web/conf/a"),
        ("r:conf/a", "/task/web/", "/task/web/conf/a"),
        ("r:a", "/", "/a"),
        ("r:~/a", "/task/web", "/task/web/~/a"),
        ("r::", "/task/web", "/task/web/:"),
        ("r:/a", "/task/web", "/a"),
    ])
    func relativePathIsBelowTheDirectory(text: String, directory: String, path: String) throws {
        #expect(try UnveilRule(parsing: text, relativeTo: directory).path == path)
    }

    @Test(arguments: [
        ("", UnveilRuleError.Problem.noColon),
        ("/etc/passwd", .noColon),
        (":/etc", .noModes),
        (":", .noModes),
        ("q:/etc", .unknownMode("q")),
        ("rq:/etc", .unknownMode("q")),
        ("R:/etc", .unknownMode("R")),
        ("r :/etc", .unknownMode(" ")),
        ("é:/etc", .unknownMode("é")),
        ("r\u{301}:/etc", .unknownMode("\u{301}")),
        ("rr:/etc", .repeatedMode("r")),
        ("?:/etc", .noModes),
        ("?r:/etc", .misplacedMark),
        ("r?w:/etc", .misplacedMark),
        ("r??:/etc", .misplacedMark),
        ("r?:etc", .relativePath),
        ("r?:", .emptyPath),
        ("rr?:/etc", .repeatedMode("r")),
        ("rwcw:/etc", .repeatedMode("w")),
        ("r:", .emptyPath),
        ("r:/etc\0/passwd", .nulInPath),
        ("r:\0", .nulInPath),
        ("r:etc", .relativePath),
        ("r:~/x", .relativePath),
    ])
    func wrongTextIsRefusedWithItsProblem(text: String, problem: UnveilRuleError.Problem) {
        #expect(throws: UnveilRuleError(rule: text, problem: problem)) { try UnveilRule(parsing: text) }
    }

    @Test(arguments: [
        ("r?:/etc/foo", "/etc/foo"), ("cxwr?:/a?:b", "/a?:b"), ("r?:conf", "/task/conf"), ("r?:?", "/task/?"),
    ])
    func aMarkBehindTheModesMakesARuleOptional(text: String, path: String) throws {
        let rule = try UnveilRule(parsing: text, relativeTo: "/task")
        #expect(rule.isOptional && rule.path == path)
        #expect(rule != UnveilRule(modes: rule.modes, path: path))
        #expect(try UnveilRule(parsing: rule.text) == rule)
        #expect(try !UnveilRule(parsing: "r:/a?").isOptional)
    }

    @Test func aRuleWithoutAPathIsRefusedWithADirectoryToo() {
        #expect(throws: UnveilRuleError(rule: "r:", problem: .emptyPath)) {
            try UnveilRule(parsing: "r:", relativeTo: "/task")
        }
    }

    @Test func theErrorNamesTheRuleTheLetterAndWhatIsAllowed() {
        let error = UnveilRuleError(rule: "q:/etc", problem: .unknownMode("q"))
        #expect(
            error.description
                == #"unveil rule "q:/etc": "q" is not a mode: must be modes:path, modes being any of r (read), "#
                + "w (write), x (execute) and c (create)")
    }

    @Test func theTextOfARuleReadsBackToIt() throws {
        for bits in UInt8(1)...15 {
            for isOptional in [false, true] {
                let rule = UnveilRule(modes: AccessModes(rawValue: bits), path: "/a:b", isOptional: isOptional)
                #expect(try UnveilRule(parsing: rule.text) == rule)
            }
        }
    }
}
