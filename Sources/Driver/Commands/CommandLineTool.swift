import CLinux
import EventLoop
import Glibc
import Shared

/// The program when a person has started it.
package enum CommandLineTool {
    /// Exit statuses of the tool itself. Those of `run` are like env(1)'s and timeout(1)'s: 125 keeps out
    /// of the way of what a command answers.
    enum ExitStatus {
        static let failure: Int32 = 1
        static let usage: Int32 = 2
        static let runFailed: Int32 = 125
    }

    /// Does what the command line says and ends the process. To be called on the first thread.
    /// - Parameter words: With the program's own name.
    package static func main(_ words: [String], environment: [String: String]) -> Never {
        Console.replaceUnwritableStreams()
        signal(SIGPIPE, SIG_IGN)
        do throws(UsageError) {
            exit(Console.status(try perform(Array(words.dropFirst()), environment)))
        } catch {
            Console.complain("\(error.text); see \(help(for: words))")
            exit(ExitStatus.usage)
        }
    }

    /// The help that tells more: the command's, where there is one on the command line.
    private static func help(for words: [String]) -> String {
        let program = "nomad-driver-exec2"
        guard words.count > 1, Command.all.contains(where: { $0.name == words[1] }) else { return "\(program) --help" }
        return "\(program) \(words[1]) --help"
    }

    private static func perform(
        _ words: [String], _ environment: [String: String]
    ) throws(UsageError) -> Int32 {
        let (found, rest) = try OptionScanner(options: HelpText.topLevelOptions).scan(words)
        if found.contains(where: { $0.name == "help" }) {
            Console.write(HelpText.program)
            return 0
        }
        if !found.isEmpty {
            Console.write("nomad-driver-exec2 \(driverVersion)\n")
            return 0
        }
        switch rest.first {
        case nil:
            Console.write(HelpText.program)
            return 0
        case "run"?: return run(Array(rest.dropFirst()), environment)
        case "exec"?: return exec(Array(rest.dropFirst()))
        case "trace"?: return try trace(Array(rest.dropFirst()))
        case "check"?: return try CheckCommand.execute(Array(rest.dropFirst()))
        case "tasks"?: return try TasksCommand.execute(Array(rest.dropFirst()))
        case "completion"?: return try CompletionCommand.execute(Array(rest.dropFirst()))
        case let word?:
            throw UsageError("there is no command \(quoted(word)): \(Command.list) are the commands")
        }
    }

    private static func run(_ words: [String], _ environment: [String: String]) -> Int32 {
        let options: RunOptions
        do throws(UsageError) {
            guard let given = try RunOptions(words, directory: currentDirectory(), environment: environment) else {
                Console.write(HelpText.run)
                return 0
            }
            options = given
        } catch {
            Console.complain("\(error.text); see nomad-driver-exec2 run --help")
            return ExitStatus.runFailed
        }
        let signals: RunSignals
        do throws(SystemError) {
            signals = try RunSignals()
            if options.traces, exec2_block_child_signal() != 0 { throw SystemError("block", "SIGCHLD") }
        } catch {
            Console.complain(error.text)
            return ExitStatus.runFailed
        }
        Task.detached(executorPreference: BlockingPool.shared) {
            exit(await RunCommand(options: options, signals: signals).execute())
        }
        while true { pause() }
    }

    private static func exec(_ words: [String]) -> Int32 {
        let tool: ExecTool
        do throws(UsageError) {
            guard let options = try ExecOptions(words) else {
                Console.write(HelpText.exec)
                return 0
            }
            do throws(SystemError) {
                tool = try ExecTool(options)
            } catch {
                Console.complain(error.text)
                return ExitStatus.runFailed
            }
        } catch {
            Console.complain("\(error.text); see nomad-driver-exec2 exec --help")
            return ExitStatus.runFailed
        }
        Task.detached(executorPreference: BlockingPool.shared) { Glibc.exit(await tool.execute()) }
        while true { pause() }
    }

    private static func trace(_ words: [String]) throws(UsageError) -> Int32 {
        guard let options = try TraceOptions(words) else {
            Console.write(HelpText.trace)
            return 0
        }
        let tool: TraceTool
        do throws(SystemError) {
            tool = try TraceTool(options)
        } catch {
            Console.complain(error.text)
            return ExitStatus.failure
        }
        Task.detached(executorPreference: BlockingPool.shared) { Glibc.exit(Console.status(await tool.execute())) }
        while true { pause() }
    }

    private static func currentDirectory() -> String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return ByteText.text(cString: path)
    }
}
