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
        let first = tries.decide(status: 1, isStopped: false, suggested: ["--unveil", "r:/a b", "--user-files"])
        #expect(first == .again("try 1 ended with exit status 1; trying again with --unveil $'r:/a b' --user-files"))
        #expect(tries.options.unveil.map(\.path) == ["/given", "/a b"] && tries.options.root.userFiles)
        // The whole of what is suggested now, and not what was suggested before.
        let second = tries.decide(status: 2, isStopped: false, suggested: ["--unveil", "r:/c", "--tcp-bind", "80"])
        #expect(second == .again("try 2 ended with exit status 2; trying again with --unveil r:/c --tcp-bind 80"))
        #expect(tries.options.unveil.map(\.path) == ["/given", "/c"] && !tries.options.root.userFiles)
        #expect(tries.options.confinement.tcpBind == [80])
        #expect(tries.decide(status: 0, isStopped: false, suggested: ["--unveil", "r:/d"]) == .last(nil))
    }

    @Test func nothingMoreHelps() throws {
        var tries = try tries()
        #expect(
            tries.decide(status: 3, isStopped: false, suggested: [])
                == .last("try 1 ended with exit status 3, and no option would allow more"))
        _ = tries.decide(status: 3, isStopped: false, suggested: ["--user-files"])
        #expect(
            tries.decide(status: 3, isStopped: false, suggested: ["--user-files"])
                == .last("try 3 ended with exit status 3, and no option would allow more"))
    }

    @Test func itEnds() throws {
        var tries = try tries()
        for number in 1..<RunTries.maximum {
            guard case .again = tries.decide(status: 1, isStopped: false, suggested: ["--unveil", "r:/\(number)"])
            else {
                Issue.record("no try after \(number)")
                return
            }
        }
        #expect(
            tries.decide(status: 1, isStopped: false, suggested: ["--unveil", "r:/last"])
                == .last("try 10 ended with exit status 1, and it was the last of 10"))
    }

    @Test func notAfterARequestToEndNorUnasked() throws {
        var tries = try tries()
        #expect(tries.decide(status: 143, isStopped: true, suggested: ["--unveil", "r:/a"]) == .last(nil))
        var single = try self.tries("--trace", "--suggest")
        #expect(single.decide(status: 1, isStopped: false, suggested: ["--unveil", "r:/a"]) == .last(nil))
    }

    @Test func whatRunCannotBeGiven() throws {
        var tries = try tries()
        let decision = tries.decide(status: 1, isStopped: false, suggested: ["--no-such-option"])
        #expect(
            decision
                == .last(
                    "try 1 ended with exit status 1, and what is suggested cannot be given to run: "
                        + "unknown option \"--no-such-option\""))
    }
}
