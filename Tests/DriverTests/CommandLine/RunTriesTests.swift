import Glibc
import Testing

@testable import Commands
@testable import Planning

/// What follows each try of a run with `--retry`.
@Suite struct RunTriesTests {
    private func tries(_ words: String...) throws -> RunTries {
        RunTries(try #require(try RunOptions(words + ["true"], directory: "/", environment: [:])))
    }

    private func tries() throws -> RunTries { try tries("--trace", "--suggest", "--retry", "--unveil", "r:/given") }

    @Test func aTryHasWhatWasSuggested() throws {
        var tries = try tries()
        let first = tries.decide(
            status: 1, isStopped: false, offer: .init(given: ["--unveil", "r:/a b", "--user-files"]))
        #expect(first == .again("try 1 ended with exit status 1; trying again with --unveil $'r:/a b' --user-files"))
        #expect(tries.options.unveil.map(\.path) == ["/given", "/a b"] && tries.options.root.userFiles)
        // The whole of what is suggested now, and not what was suggested before.
        let second = tries.decide(
            status: 2, isStopped: false, offer: .init(given: ["--unveil", "r:/c", "--tcp-bind", "80"]))
        #expect(second == .again("try 2 ended with exit status 2; trying again with --unveil r:/c --tcp-bind 80"))
        #expect(tries.options.unveil.map(\.path) == ["/given", "/c"] && !tries.options.root.userFiles)
        #expect(tries.options.confinement.tcpBind == [80])
        #expect(tries.decide(status: 0, isStopped: false, offer: .init(given: ["--unveil", "r:/d"])) == .last(nil))
    }

    @Test func nothingMoreHelps() throws {
        var tries = try tries()
        #expect(
            tries.decide(status: 3, isStopped: false, offer: .init(given: []))
                == .last("try 1 ended with exit status 3, and no option would allow more"))
        _ = tries.decide(status: 3, isStopped: false, offer: .init(given: ["--user-files"]))
        #expect(
            tries.decide(status: 3, isStopped: false, offer: .init(given: ["--user-files"]))
                == .last("try 3 ended with exit status 3, and no option would allow more"))
    }

    @Test func itEnds() throws {
        var tries = try tries()
        for number in 1..<RunTries.maximum {
            guard
                case .again = tries.decide(
                    status: 1, isStopped: false, offer: .init(given: ["--unveil", "r:/\(number)"]))
            else {
                Issue.record("no try after \(number)")
                return
            }
        }
        #expect(
            tries.decide(status: 1, isStopped: false, offer: .init(given: ["--unveil", "r:/last"]))
                == .last("try 10 ended with exit status 1, and it was the last of 10"))
    }

    @Test func whatIsLeftOut() throws {
        var tries = try tries()
        let first = tries.decide(
            status: 1, isStopped: false, offer: .init(given: ["--user-files"], leftOut: ["--unveil", "r:/etc/shadow"]))
        #expect(
            first
                == .again(
                    "try 1 ended with exit status 1; trying again with --user-files; left out: --unveil r:/etc/shadow"))
        #expect(tries.options.unveil.map(\.path) == ["/given"])
        let second = tries.decide(
            status: 1, isStopped: false, offer: .init(given: ["--user-files"], leftOut: ["--cap-add", "setuid"]))
        #expect(
            second
                == .last(
                    "try 2 ended with exit status 1, and nothing more is given unasked; left out: --cap-add setuid"))
    }

    @Test(arguments: [Int32(129), 130, 137, 143]) func notAfterASignal(status: Int32) throws {
        var tries = try tries()
        #expect(
            tries.decide(status: status, isStopped: false, offer: .init(given: ["--user-files"]))
                == .last("try 1 ended with exit status \(status), that of a signal: it is not run again"))
    }

    /// A later try begins although a file of an earlier one is gone.
    @Test func rulesOfTriesAreOptional() throws {
        var tries = try tries()
        _ = tries.decide(status: 1, isStopped: false, offer: .init(given: ["--unveil", "r:/a"]))
        #expect(tries.options.unveil.map(\.isOptional) == [false, true])
    }

    @Test(
        arguments: [
            ("/etc/hostname", 1000, true), ("/etc/hostname", 0, true), ("/usr/share/doc", 1000, true),
            ("/usr/share/doc", 0, false), ("/etc/shadow", 1000, false), ("/etc/shadow", 0, false),
            ("/dev/null", 1000, false),
            ("/tmp", 1000, false), ("/nonexistent", 1000, false),
        ] as [(String, uid_t, Bool)])
    func whatIsPublic(path: String, uid: uid_t, expected: Bool) throws {
        let options = try #require(try RunOptions(["true"], directory: "/", environment: [:]))
        #expect(RunTries.isPublic(path, to: uid, options) == expected)
    }

    /// A file that its own permissions let everybody read, in a directory that only its owner may pass.
    @Test(arguments: [(0o755, true), (0o711, true), (0o750, false), (0o700, false)] as [(mode_t, Bool)])
    func whatOnlySomeUsersCanReachIsNotPublic(mode: mode_t, expected: Bool) throws {
        let directory = "/tmp/exec2-tries-\(getpid())-\(mode)"
        let file = directory + "/file"
        try #require(mkdir(directory, 0o700) == 0)
        defer {
            unlink(file)
            rmdir(directory)
        }
        let number = open(file, O_CREAT | O_WRONLY, 0o644)
        try #require(number >= 0 && fchmod(number, 0o644) == 0 && chmod(directory, mode) == 0)
        close(number)
        let options = try #require(try RunOptions(["true"], directory: "/", environment: [:]))
        #expect(RunTries.isPublic(file, to: 0, options) == expected)
    }

    @Test func whatACommandCanReplaceIsNotPublic() throws {
        let words = [["--unveil", "rw:/etc"], ["--volume", "/etc:/data"], ["--unveil", "c:/"]]
        for given in words {
            let options = try #require(try RunOptions(given + ["true"], directory: "/", environment: [:]))
            #expect(!RunTries.isPublic("/etc/hostname", to: 1000, options))
        }
        let readOnly = try #require(
            try RunOptions(["--volume", "/etc:/data:ro", "true"], directory: "/", environment: [:]))
        #expect(RunTries.isPublic("/etc/hostname", to: 1000, readOnly))
    }

    @Test func notAfterARequestToEndNorUnasked() throws {
        var tries = try tries()
        #expect(tries.decide(status: 143, isStopped: true, offer: .init(given: ["--unveil", "r:/a"])) == .last(nil))
        var single = try self.tries("--trace", "--suggest")
        #expect(single.decide(status: 1, isStopped: false, offer: .init(given: ["--unveil", "r:/a"])) == .last(nil))
    }

    @Test func whatRunCannotBeGiven() throws {
        var tries = try tries()
        let decision = tries.decide(status: 1, isStopped: false, offer: .init(given: ["--no-such-option"]))
        #expect(
            decision
                == .last(
                    "try 1 ended with exit status 1, and what is suggested cannot be given to run: "
                        + "unknown option \"--no-such-option\""))
    }
}
