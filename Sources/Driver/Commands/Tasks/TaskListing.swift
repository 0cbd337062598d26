import EventLoop
import Glibc
import Planning
import Shared
import Supervision

/// The tasks of this host by their state directories, as root. Only files are read.
enum TaskListing {
    /// The oldest first.
    /// - Parameter directory: A state directory of all tasks; nil for the plugin's usual one and those of `run`.
    static func all(in directory: String?) throws(SystemError) -> [ListedTask] {
        var tasks: [ListedTask] = []
        let holders = LockHolders.read()
        for home in TaskHome.all(named: directory) {
            do throws(SystemError) {
                for directory in try home.taskDirectories(named: directory) {
                    guard var task = try look(directory, holders) else { continue }
                    if let run = home.run { (task.id, task.name, task.allocID) = (run, "(run)", "") }
                    tasks.append(task)
                }
            } catch {
                // Of a run that ends meanwhile anything may be half gone.
                guard home.run != nil, home.stateDirectory != directory else { throw error }
            }
        }
        return tasks.sorted { ($0.startedAt ?? .max, $0.directory) < ($1.startedAt ?? .max, $1.directory) }
    }

    /// Nil for what is no task's directory. Fails where it cannot be known whether the task runs.
    private static func look(_ directory: TaskStateDirectory, _ holders: LockHolders) throws(SystemError) -> ListedTask?
    {
        guard let state = HandleState(identityIn: directory) else {
            guard access(directory.path + "/" + StateFile.control, F_OK) == 0 else { return nil }
            let id = String(
                decoding: directory.name.utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: "/") : $0 }, as: UTF8.self)
            let parts = id.pathComponents
            return ListedTask(
                directory: directory.path, id: id, name: parts.count > 1 ? String(parts[1]) : id,
                allocID: String(parts.first ?? ""), state: .starting, driverPid: holders.holder(of: directory))
        }
        var task = ListedTask(
            directory: directory.path, id: state.taskID, name: state.taskName,
            allocID: String(state.taskID.prefix { $0 != "/" }), state: .running,
            driverPid: holders.holder(of: directory), cgroup: state.cgroup)
        let sameBoot = state.bootID == Boot.id
        let executor = try state.heldExecutor()?.pid
        task.executorPid = executor
        let record: Result<ExitRecord?, RecordError>
        do throws(RecordError) {
            record = .success(try directory.readRecord())
        } catch {
            record = .failure(error)
        }
        if case .success(let known?) = record {
            (task.startedAt, task.endedAt) = (known.startedAt, known.endedAt)
            task.processorTime = UInt64(clamping: known.userTime + known.systemTime)
            task.state =
                executor != nil
                ? .ending : .ended(code: known.exitCode, signal: known.signal, oomKilled: known.oomKilled)
            return task
        }
        let outcome = Recovery.outcome(
            sameBoot: sameBoot, hasDirectory: true, record: record, executorLives: executor != nil, now: 0)
        switch outcome {
        case .running, .runningWithoutDirectory: task.look()
        case .ended(let end), .supervisorLost(let end): task.state = .lost(reason: end.error ?? "")
        case .gone(let reason): task.state = .lost(reason: reason)
        }
        return task
    }
}
