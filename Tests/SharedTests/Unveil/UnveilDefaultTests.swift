import Testing

@testable import Shared

@Suite struct UnveilDefaultTests {
    @Test func pathsAreAbsoluteAndThereOnce() {
        let paths = UnveilDefault.paths.map(\.rule.path)
        #expect(paths.allSatisfy { $0.hasPrefix("/") && !$0.hasSuffix("/") })
        #expect(Set(paths).count == paths.count)
    }

    @Test func everyModeIsWhatTheDocumentationSays() {
        var modes: [String: [String]] = [:]
        for entry in UnveilDefault.paths { modes[entry.rule.modes.letters, default: []].append(entry.rule.path) }
        #expect(modes["rwc"] == ["/tmp"])
        #expect(modes["rw"] == ["/dev/null", "/dev/full", "/dev/stdin", "/dev/stdout", "/dev/stderr"])
        #expect(modes["w"] == ["/dev/log"])
        #expect(modes["rx"]?.count == 13)
        #expect(modes["r"]?.count == 46)
        #expect(modes.count == 5)
    }

    /// /etc is a place of secrets: only single files and certificate directories of it are open.
    @Test func noDefaultOpensAWholeDirectoryOfSecrets() {
        let paths = Set(UnveilDefault.paths.map(\.rule.path))
        let closed = ["/", "/etc", "/proc", "/proc/self", "/sys", "/dev", "/root", "/home", "/var", "/run", "/usr"]
        #expect(paths.isDisjoint(with: closed))
    }

    @Test func whateverIsBelowProcIsOpenedInTheTask() {
        for entry in UnveilDefault.paths where entry.rule.path.hasPrefix("/proc/") {
            #expect(entry.isBoundToProc, "\(entry.rule.path)")
        }
        let links = UnveilDefault.paths.filter { $0.isBoundToProc && !$0.rule.path.hasPrefix("/proc/") }
        #expect(links.map(\.rule.path) == ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd"])
    }

    @Test func theTasksOwnDirectoriesHaveEveryMode() {
        #expect(
            UnveilDefault.taskDirectories(in: "/mnt/a-web").map(\.text) == [
                "rwxc:/mnt/a-web/local", "rwxc:/mnt/a-web/secrets", "rwxc:/mnt/a-web/tmp", "rwxc:/mnt/a-web/alloc",
            ])
    }
}
