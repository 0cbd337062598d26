import CLinux
import Glibc
import Shared

/// One task as it can be seen from outside.
struct ListedTask: Equatable, Sendable {
    enum State: Equatable, Sendable {
        /// Its folder is there, and no Executor has put its name in.
        case starting
        case running
        /// The exit record is there, the Executor just leaves.
        case ending
        case ended(code: Int32, signal: Int32, oomKilled: Bool)
        case lost(reason: String)
    }

    /// Of the state folder.
    var folder: String
    var id: String
    var name: String
    var allocID: String
    var state: State
    var executorPid: Int32?
    /// Who holds the session: the plugin, or `run`.
    var driverPid: Int32?
    /// The main process.
    var pid: Int32?
    var processes: Int?
    /// Bytes: what the cgroup is charged with; where the host does not count that, the sum of the
    /// processes' resident sets.
    var memory: UInt64?
    /// Microseconds.
    var processorTime: UInt64?
    /// Nanoseconds since the epoch.
    var startedAt: Int64?
    var endedAt: Int64?
    var cgroup = ""

    /// Nanoseconds: how long it has run, or ran.
    func age(at now: Int64) -> Int64? { startedAt.map { max(0, (endedAt ?? now) - $0) } }
}

/// The tasks of this host by their state folders, as root. Only files are read.
enum TaskListing {
    /// The oldest first.
    /// - Parameter folder: A state folder of all tasks; nil for the plugin's usual one and those of `run`.
    static func all(in folder: String?) throws(SystemError) -> [ListedTask] {
        let usual = PluginConfiguration().stateFolder
        var tasks: [ListedTask] = []
        let holders = LockHolders.read()
        do throws(SystemError) {
            tasks = try list(folder ?? usual, holders)
        } catch {
            // Where no task has ever run there is none; a folder that was named must be there.
            guard folder == nil, error.errno == .noSuchFile else { throw error }
        }
        if folder == nil, let end = usual.utf8.lastIndex(of: UInt8(ascii: "/")) {
            let parent = String(usual[..<end])
            for name in FolderList.names(in: parent) ?? [] where name.hasPrefix(RunFolders.namePrefix) {
                // It may be gone by now.
                for var task in (try? list(parent + "/" + name, holders)) ?? [] {
                    (task.name, task.allocID) = ("(run)", "")
                    task.id = name
                    tasks.append(task)
                }
            }
        }
        return tasks.sorted { ($0.startedAt ?? .max, $0.folder) < ($1.startedAt ?? .max, $1.folder) }
    }

    private static func list(_ stateFolder: String, _ holders: LockHolders) throws(SystemError) -> [ListedTask] {
        guard let stream = opendir(stateFolder) else { throw SystemError("read the state folder", stateFolder) }
        closedir(stream)
        var tasks: [ListedTask] = []
        // Of those that begin with a dot a Driver is just making one.
        for name in FolderList.names(in: stateFolder) ?? [] where !name.hasPrefix(".") {
            if let task = try look(TaskFolder(stateFolder: stateFolder, name: name), holders) { tasks.append(task) }
        }
        return tasks
    }

    /// Nil for what is no task's folder. Fails where it cannot be known whether the task runs.
    private static func look(_ folder: TaskFolder, _ holders: LockHolders) throws(SystemError) -> ListedTask? {
        guard let state = HandleState(identityIn: folder) else {
            guard access(folder.path + "/" + StateFile.control, F_OK) == 0 else { return nil }
            let id = String(
                decoding: folder.name.utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: "/") : $0 }, as: UTF8.self)
            let parts = id.split(separator: "/")
            return ListedTask(
                folder: folder.path, id: id, name: parts.count > 1 ? String(parts[1]) : id,
                allocID: String(parts.first ?? ""), state: .starting, driverPid: holders.holder(of: folder))
        }
        var task = ListedTask(
            folder: folder.path, id: state.taskID, name: state.taskName,
            allocID: String(state.taskID.prefix { $0 != "/" }), state: .running,
            driverPid: holders.holder(of: folder), cgroup: state.cgroup)
        let sameBoot = state.bootID == Boot.id
        let executor =
            sameBoot ? try HeldProcess.open(pid: state.executorPid, startTime: state.executorStartTime)?.pid : nil
        task.executorPid = executor
        let record: Result<ExitRecord?, RecordError>
        do throws(RecordError) {
            record = .success(try folder.readRecord())
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
        switch Recovery.outcome(sameBoot: sameBoot, executor: executor, record: record, now: 0) {
        case .running: task.look()
        case .ended(let end), .supervisorLost(let end): task.state = .lost(reason: end.error ?? "")
        }
        return task
    }
}

extension ListedTask {
    /// What /proc and the cgroup tell of a task that runs.
    fileprivate mutating func look() {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        buffer.withUnsafeMutableBytes { buffer in
            if let executorPid, let main = Self.oldestChild(of: executorPid, buffer) {
                pid = main.pid
                startedAt = Self.time(ofTicks: main.startedAt)
            }
            guard !cgroup.isEmpty else { return }
            let files = CgroupFiles(cgroup)
            let usage = files.usage(buffer)
            processorTime = usage.cpuTotal
            var members: [Int32] = []
            files.forEachProcess(buffer) { members.append($0) }
            processes = members.count
            memory =
                usage.memory
                ?? members.reduce(0) { $0 + (ProcessFile($1).read(buffer)?.residentSet ?? 0) }
        }
    }

    /// The task's main process is the first that its Executor has started; orphans come later.
    private static func oldestChild(
        of executor: Int32, _ buffer: UnsafeMutableRawBufferPointer
    ) -> (pid: Int32, startedAt: UInt64)? {
        guard let list = try? HostFile.read("/proc/\(executor)/task/\(executor)/children") else { return nil }
        return list.split(separator: UInt8(ascii: " ")).compactMap { word -> (pid: Int32, startedAt: UInt64)? in
            guard let pid = Int32(String(decoding: word, as: UTF8.self)) else { return nil }
            return ProcessFile(pid).read(buffer).map { (pid, $0.startedAt) }
        }.min { ($0.startedAt, $0.pid) < ($1.startedAt, $1.pid) }
    }

    /// Since the epoch, of clock ticks since boot, suspended time included (proc_pid_stat(5)).
    private static func time(ofTicks ticks: UInt64) -> Int64 {
        var sinceBoot = timespec()
        clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
        let boot =
            Int64(bitPattern: exec2_realtime()) - Int64(sinceBoot.tv_sec) * 1_000_000_000 - Int64(sinceBoot.tv_nsec)
        return boot + Int64(clamping: ticks) * Int64(ProcessUsage.tick) * 1000
    }
}

/// Who holds which file's lock (proc_locks(5)): to try it oneself would be to take it.
struct LockHolders: Sendable {
    private struct File: Hashable {
        let major: UInt32
        let minor: UInt32
        let inode: UInt64
    }

    private var pids: [File: Int32] = [:]

    static func read() -> LockHolders {
        LockHolders(String(decoding: (try? HostFile.read("/proc/locks")) ?? [], as: UTF8.self))
    }

    /// - Parameter text: Lines such as `1: FLOCK  ADVISORY  WRITE 811 00:19:5678 0 EOF`.
    init(_ text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", let pid = Int32(words[4]), pid > 0 else { continue }
            let file = words[5].split(separator: ":")
            guard file.count == 3, let major = UInt32(file[0], radix: 16), let minor = UInt32(file[1], radix: 16),
                let inode = UInt64(file[2])
            else { continue }
            pids[File(major: major, minor: minor, inode: inode)] = pid
        }
    }

    func holder(major: UInt32, minor: UInt32, inode: UInt64) -> Int32? {
        pids[File(major: major, minor: minor, inode: inode)]
    }

    func holder(of folder: TaskFolder) -> Int32? {
        var facts = stat()
        guard lstat(folder.path + "/" + StateFile.lock, &facts) == 0 else { return nil }
        // glibc's makedev(3) in reverse.
        let device = UInt64(facts.st_dev)
        let major = UInt32((device >> 8) & 0xFFF | (device >> 32) & 0xFFFF_F000)
        let minor = UInt32(device & 0xFF | (device >> 12) & 0xFFFF_FF00)
        return holder(major: major, minor: minor, inode: UInt64(facts.st_ino))
    }
}
