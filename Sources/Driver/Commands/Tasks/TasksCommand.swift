import CLinux
import Glibc
import HCLog
import Planning
import Shared

/// `tasks`: what runs on this host, from the state directories alone. It takes no lock, opens no pipe and
/// asks no Executor, so that a plugin that runs is not disturbed.
enum TasksCommand {
    static let options = [
        CommandOption(
            name: "state-dir", value: "DIRECTORY",
            help:
                "the plugin's state_dir; default: \(PluginConfiguration().stateDirectory), and every \"run\" of this host",
            completes: .directories),
        CommandOption(
            name: "quiet", letter: "q", help: "print the ids of those that run and nothing else, one on a line"),
        CommandOption(name: "json", help: "print JSON, one object for each task, with all that is known"),
        CommandOption(name: "help", letter: "h", help: "show this help"),
    ]

    /// - Returns: The exit status.
    static func execute(_ words: [String]) throws(UsageError) -> Int32 {
        let (found, rest) = try OptionScanner(options: options).scan(words)
        if found.contains(where: { $0.name == "help" }) {
            Console.write(HelpText.tasks)
            return 0
        }
        if let word = rest.first { throw UsageError("tasks takes no argument, and there is \(quoted(word))") }
        let directory = found.last { $0.name == "state-dir" }?.value
        if let directory { try OptionScanner.checkPath(directory, of: "state-dir") }
        guard geteuid() == 0 else {
            Console.complain("tasks must run as root, which owns the state directories: use sudo")
            return CommandLineTool.ExitStatus.failure
        }
        if found.contains(where: { $0.name == "quiet" }) { return printIDs(in: directory) }
        let tasks: [ListedTask]
        do throws(SystemError) {
            tasks = try TaskListing.all(in: directory)
        } catch {
            Console.complain(error.text)
            return CommandLineTool.ExitStatus.failure
        }
        let now = Int64(bitPattern: exec2_realtime())
        if found.contains(where: { $0.name == "json" }) {
            Console.write(json(tasks, now: now))
        } else if tasks.isEmpty {
            Console.write("no task in \(TaskHome.places(named: directory))\n")
        } else {
            Console.write(table(tasks, now: now).text(colour: Console.hasColour))
        }
        return 0
    }

    /// What `exec` takes, and what a shell completes.
    private static func printIDs(in directory: String?) -> Int32 {
        do throws(SystemError) {
            let titles = try TaskSearch.running(in: directory).map(\.title).sorted()
            for title in titles { Console.write(title.onOneLine + "\n") }
        } catch {
            Console.complain(error.text)
            return CommandLineTool.ExitStatus.failure
        }
        return 0
    }

    // MARK: Table

    static func table(_ tasks: [ListedTask], now: Int64) -> TextTable {
        var table = TextTable(
            columns: [
                .init("TASK"), .init("ALLOC"), .init("STATE"), .init("PID", isNumber: true),
                .init("DRIVER", isNumber: true), .init("PROCESSES", isNumber: true), .init("MEMORY", isNumber: true),
                .init("CPU", isNumber: true), .init("AGE", isNumber: true),
            ])
        for task in tasks {
            table.add([
                .init(task.name), .init(String(task.allocID.prefix(8))), .init(task.state.text, task.state.colour),
                .init(task.pid), .init(task.driverPid), .init(task.processes),
                .init(task.memory.map(TextTable.bytes)),
                .init(task.processorTime.map { TextTable.duration(nanoseconds: Int64(clamping: $0) * 1000) }),
                .init(task.age(at: now).map { TextTable.duration(nanoseconds: $0) }),
            ])
        }
        return table
    }

    // MARK: JSON

    static func json(_ tasks: [ListedTask], now: Int64) -> String {
        if tasks.isEmpty { return "[]\n" }
        return "[\n" + tasks.map { "  " + object($0, now: now) }.joined(separator: ",\n") + "\n]\n"
    }

    private static func object(_ task: ListedTask, now: Int64) -> String {
        var json = JSONObject()
        json.add("id", task.id)
        json.add("alloc_id", task.allocID)
        json.add("task", task.name)
        json.add("state", task.state.word)
        if case .ended(let code, let signal, let oomKilled) = task.state {
            json.add("exit_code", code)
            json.add("signal", signal)
            json.add("oom_killed", oomKilled)
        }
        if case .lost(let reason) = task.state { json.add("reason", reason) }
        json.add("pid", task.pid)
        json.add("executor_pid", task.executorPid)
        json.add("driver_pid", task.driverPid)
        json.add("processes", task.processes)
        json.add("memory_bytes", task.memory)
        json.add("cpu_microseconds", task.processorTime)
        json.add("started_at", task.startedAt.map(Logger.timestamp))
        json.add("ended_at", task.endedAt.map(Logger.timestamp))
        json.add("age_seconds", task.age(at: now).map { $0 / 1_000_000_000 })
        json.add("cgroup", task.cgroup.isEmpty ? nil : task.cgroup)
        json.add("state_folder", task.directory)
        return json.text
    }
}

extension ListedTask.State {
    /// For the table.
    var text: String {
        switch self {
        case .starting, .running, .ending, .lost: word
        case .ended(_, _, true): "out-of-memory"
        case .ended(let code, 0, _): "exit:\(code)"
        case .ended(_, let signal, _): "signal:\(signal)"
        }
    }

    /// For JSON: what a program compares with.
    var word: String {
        switch self {
        case .starting: "starting"
        case .running: "running"
        case .ending: "ending"
        case .ended: "ended"
        case .lost: "lost"
        }
    }

    fileprivate var colour: TextTable.Colour? {
        switch self {
        case .running: .green
        case .starting, .ending: .yellow
        case .ended(0, 0, false): nil
        case .ended: .yellow
        case .lost: .red
        }
    }
}
