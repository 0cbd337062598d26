import Testing

@testable import Commands

@Suite struct TraceOptionsTests {
    private func complaint(_ words: String...) -> String? {
        do throws(UsageError) {
            _ = try TraceOptions(words)
            return nil
        } catch {
            return error.text
        }
    }

    @Test func optionsStandOnEitherSide() throws {
        let options = try #require(try TraceOptions(["--suggest", "web", "--seconds", "5", "--state-dir=/run/x"]))
        #expect(options.task == "web" && options.seconds == 5 && options.suggests && options.stateDirectory == "/run/x")
        let plain = try #require(try TraceOptions(["--", "-x"]))
        #expect(plain.task == "-x" && plain.seconds == nil && !plain.suggests)
        #expect(try TraceOptions(["web", "--help"]) == nil && TraceOptions(["-h"]) == nil)
    }

    @Test func wrongUseIsNamed() {
        #expect(complaint() == "name the task to trace" && complaint("") == "name the task to trace")
        #expect(complaint("a", "b") == "trace takes one task, and there is \"b\" as well")
        for value in ["0", "86401", "x", "", "1.5", "-1"] {
            #expect(
                complaint("--seconds", value, "a")
                    == "--seconds is \"\(value)\": must be a whole number from 1 to 86400")
        }
        #expect(complaint("--seconds") == "option --seconds needs a value: --seconds N")
        #expect(complaint("--state-dir", "", "a") == "--state-dir is empty")
        #expect(complaint("a", "--tty") == "unknown option \"--tty\"")
    }

    @Test(
        arguments: [
            (["--suggest"], "--suggest tells what a trace has shown: add --trace"),
            (["--retry"], "--retry runs the command again with what is suggested: add --suggest"),
            (["--trace", "--retry"], "--retry runs the command again with what is suggested: add --suggest"),
        ])
    func optionsOfATrace(words: [String], text: String) {
        do throws(UsageError) {
            _ = try RunOptions(words + ["true"], directory: "/", environment: [:])
            Issue.record("accepted")
        } catch {
            #expect(error.text == text)
        }
    }
}
