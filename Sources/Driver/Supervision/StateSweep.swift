import CLinux
import EventLoop
import Glibc
import HCLog
import Host
import Planning
import Shared

/// Looks after what earlier Drivers left in the state directory, each time the host has configured the
/// plugin (docs/recovery.md).
///
/// An agent claims a task by starting it, recovering it or waiting for it. It recovers its tasks as soon as it is back,
/// so a task that is not claimed for some time is not known to it any more, and is ended: after orphan_grace (a plugin
/// option) if no agent has ever claimed it, and after `forgottenSeconds` if one has.
package struct StateSweep: Sendable {
    /// Until a task that a host had claimed once is ended.
    static let forgottenSeconds: UInt64 = 1800
    /// Until what is too old is removed, where orphan_grace is 0.
    static let agedSeconds: UInt64 = 30
    /// How long the end of a task is kept for a host that may still ask, and between two looks for older ones.
    static let keptRecordSeconds: Int64 = 86_400
    /// From SIGTERM to SIGKILL for a task that is ended.
    private static let stopNanoseconds: UInt64 = 5_000_000_000

    enum Stage: Sendable {
        /// At the start: what cannot matter any more.
        case start
        /// What is kept for a day: soon after the start, when the host has asked, and then once a day.
        case aged
        case neverClaimed
        case forgotten
    }

    package let settings: DriverSettings
    package let table: TaskTable
    package let log: Logger

    package init(settings: DriverSettings, table: TaskTable, log: Logger) {
        self.settings = settings
        self.table = table
        self.log = log
    }

    /// Plans the stages after a SetConfig; a later SetConfig starts them anew.
    package func begin() {
        let version = settings.current.version
        let grace = settings.current.configuration.orphanGrace
        onThePool(.start)
        let stages: [(Stage, UInt64)] =
            grace == 0
            ? [(.aged, Self.agedSeconds)]
            : [(.neverClaimed, grace), (.forgotten, max(grace, Self.forgottenSeconds))]
        for (stage, seconds) in stages {
            _ = table.reactor.after(seconds * 1_000_000_000) {
                guard settings.current.version == version else { return }
                onThePool(stage)
            }
        }
        lookDaily(version)
    }

    private func lookDaily(_ version: Int) {
        _ = table.reactor.after(UInt64(Self.keptRecordSeconds) * 1_000_000_000) {
            guard settings.current.version == version else { return }
            onThePool(.aged)
            lookDaily(version)
        }
    }

    private func onThePool(_ stage: Stage) {
        Task(executorPreference: BlockingPool.recoveries) { await run(stage) }
    }

    func run(_ stage: Stage) async {
        let settings = settings.current
        let stateDirectory = settings.configuration.stateDirectory
        if let fault = StateDirectory(path: stateDirectory).fault {
            log.warn("the state directory cannot be swept", ["reason": fault.text])
            return
        }
        // All at once: one that is slow to end must not keep the others running.
        await withDiscardingTaskGroup { group in
            if case .forgotten = stage {
                for task in table.tasks
                where task.end == nil && !task.claims.isClaimed(since: settings.version) {
                    group.addTask {
                        await end(task.id, "the agent has neither recovered it nor waits for it") {
                            () async throws(TaskError) in
                            try await table.end(task, signal: SIGTERM, timeoutNanoseconds: Self.stopNanoseconds)
                        }
                    }
                }
            }
            let known = Set(table.tasks.map(\.directory.path))
            for name in names(in: stateDirectory) {
                let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: name)
                if known.contains(directory.path) { continue }
                group.addTask { await look(at: directory, stage) }
            }
        }
        table.cleanWhenIdle()
    }

    private func names(in stateDirectory: String) -> [String] {
        do throws(SystemError) {
            return try StateDirectory(path: stateDirectory).names()
        } catch {
            if error.errno != .noSuchFile { log.warn("the state directory cannot be swept", ["reason": error.text]) }
            return []
        }
    }

    /// What cannot be read for a shortage is left alone: a later stage, or the next driver, looks at it again.
    private func look(at directory: TaskStateDirectory, _ stage: Stage) async {
        do throws(SystemError) {
            try await examine(directory, stage)
        } catch {
            log.warn("left alone: the state directory cannot be read", ["path": directory.path, "reason": error.text])
        }
    }

    private func examine(_ directory: TaskStateDirectory, _ stage: Stage) async throws(SystemError) {
        guard try isTaskStateDirectory(directory) else {
            if case .start = stage { log.warn("left alone: not a task's state directory", ["path": directory.path]) }
            return
        }
        guard let state = try HandleState.identity(in: directory) else { return try removeUnstarted(directory, stage) }
        table.executorCgroup.note(forTaskIn: state.cgroup)
        if table.isKnown(state.taskID) { return }
        // The lock only for what is to be done: a task that the host recovers just now needs it.
        if case .keep = try DirectoryFacts(directory, state).verdict(stage) { return }
        // Before the last look: a RecoverTask that has come has claimed the task by then, and none can come between.
        guard let mine = table.beginEnding(state) else { return }
        let reason: String?
        do throws(SystemError) {
            reason = try removeOrEnd(directory, state, stage)
        } catch {
            table.leave(state.taskID, mine)
            throw error
        }
        guard let reason else { return table.leave(state.taskID, mine) }
        await end(state.taskID, reason) { () async throws(TaskError) in
            try await table.end(state, mine, signal: SIGTERM, timeoutNanoseconds: Self.stopNanoseconds)
        }
    }

    /// Removes a directory that is not needed any more. Returns why the task in it is to be ended, if it is.
    private func removeOrEnd(
        _ directory: TaskStateDirectory, _ state: HandleState, _ stage: Stage
    ) throws(SystemError) -> String? {
        // Another Driver has it.
        guard let lock = try directory.lock() else { return nil }
        var reasonToEnd: String?
        switch try DirectoryFacts(directory, state).verdict(stage) {
        case .keep: break
        case .remove(let reason): remove(directory, reason)
        case .end(let reason): reasonToEnd = reason
        }
        _ = consume lock
        return reasonToEnd
    }

    /// Whether a directory holds nothing but what belongs to a task. An empty one may be anybody's: then the
    /// name has to be that of a task of Nomad's, which ends in 8 hexadecimal digits.
    private func isTaskStateDirectory(_ directory: TaskStateDirectory) throws(SystemError) -> Bool {
        let names: [String]
        do throws(SystemError) {
            names = try DirectoryListing.read(directory.path)
        } catch {
            if error.errno == .notDirectory || error.errno == .noSuchFile { return false }
            throw error
        }
        guard names.isEmpty else { return names.allSatisfy { StateFile.all.contains($0) } }
        let end = Array(directory.name.utf8.suffix(9))
        return end.count == 9 && end[0] == UInt8(ascii: "+")
            && end[1...].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// A directory without an Executor's identity was made by a Driver that died before it had an Executor;
    /// where something holds the pipe it is of an Executor that had none to leave yet, or that is older
    /// than that file.
    private func removeUnstarted(_ directory: TaskStateDirectory, _ stage: Stage) throws(SystemError) {
        switch stage {
        case .start, .aged: return
        case .neverClaimed, .forgotten: break
        }
        guard try !directory.isPipeHeld, !table.isStarting(in: directory), let lock = try directory.lock() else {
            return
        }
        remove(directory, "its task was never started")
        _ = consume lock
    }

    private func end(_ id: String, _ reason: String, by ending: () async throws(TaskError) -> Void) async {
        log.warn("ending an orphaned task", ["task_id": id, "reason": reason])
        do throws(TaskError) {
            try await ending()
        } catch {
            log.error("cannot end an orphaned task", ["task_id": id, "error": error.text])
        }
    }

    private func remove(_ directory: TaskStateDirectory, _ reason: String) {
        if let error = directory.remove() {
            log.error("cannot remove a left-over state directory", ["path": directory.path, "error": error.text])
        } else {
            log.info("removed a left-over state directory", ["path": directory.path, "reason": reason])
        }
    }
}

/// What a sweep judges a directory by.
struct DirectoryFacts: Sendable {
    var sameBoot: Bool
    var executorAlive: Bool
    var wasClaimed: Bool
    /// For how many seconds at least the task has been over; nil without a record.
    var endedSecondsAgo: Int64?

    enum Verdict: Equatable, Sendable {
        case keep
        case remove(String)
        case end(String)
    }

    func verdict(_ stage: StateSweep.Stage) -> Verdict {
        if !sameBoot && endedSecondsAgo == nil { return .remove("it is of an earlier boot of the host") }
        if let age = endedSecondsAgo, age > StateSweep.keptRecordSeconds {
            // Of this boot a host that was away may still ask for it: not at the start.
            if case .start = stage, sameBoot { return .keep }
            return .remove("its task ended more than a day ago")
        }
        switch stage {
        case .start, .aged: return .keep
        case .neverClaimed:
            if wasClaimed { return .keep }
            return executorAlive
                ? .end("the agent has never known it") : .remove("the agent has never known it")
        case .forgotten:
            return executorAlive ? .end("the agent has neither recovered it nor waits for it") : .keep
        }
    }
}

extension DirectoryFacts {
    /// Fails where the kernel does not tell, for want of descriptors say.
    init(_ directory: TaskStateDirectory, _ state: HandleState) throws(SystemError) {
        sameBoot = state.bootID == Boot.id
        executorAlive = try state.executorLives
        wasClaimed = access(directory.path + "/" + StateFile.claimed, F_OK) == 0 || Errno.last != .noSuchFile
        endedSecondsAgo = nil
        do throws(RecordError) {
            guard let record = try directory.readRecord() else { return }
            endedSecondsAgo = Self.age(
                of: record, sameBoot: sameBoot, sinceBoot: Int64(bitPattern: exec2_boottime()),
                now: Int64(bitPattern: exec2_realtime()))
        } catch {
            if case .unreadable(let cause) = error, StartError.mayPass(cause.errno) { throw cause }
        }
    }

    /// For how many seconds at least a task has been over. It is the boot's clock that tells: the other one may be
    /// set forward, and the end would be thrown away before the host has asked for it.
    ///
    /// What an earlier boot's record says by that clock means nothing now; it is as old as this boot at least. A
    /// record of an earlier release's Executor has the other clock's time alone, and is no older than the boot.
    ///
    /// - Parameters:
    ///   - sinceBoot: CLOCK_BOOTTIME, in nanoseconds.
    ///   - now: CLOCK_REALTIME, in nanoseconds.
    static func age(of record: ExitRecord, sameBoot: Bool, sinceBoot: Int64, now: Int64) -> Int64 {
        let nanoseconds: Int64
        if !sameBoot {
            nanoseconds = sinceBoot
        } else if let ended = record.endedSinceBoot {
            nanoseconds = sinceBoot - ended
        } else {
            nanoseconds = min(now - record.endedAt, sinceBoot)
        }
        return nanoseconds / 1_000_000_000
    }
}
