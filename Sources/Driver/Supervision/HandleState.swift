import CMessages
import EventLoop
import Glibc
import Messages
import Planning
import Shared

/// What a task is found again by: the driver_state of the handle that the client stores. Nothing in it
/// can go stale without that being noticed: a pid counts only together with the process's start time,
/// and both only within one boot.
package struct HandleState: Equatable, Sendable {
    static let version: UInt32 = 1

    package var bootID = ""
    package var executorPid: Int32 = 0
    /// In clock ticks since boot (proc_pid_stat(5), field 22).
    package var executorStartTime: UInt64 = 0
    var stateDirectory = ""
    package var directory = ""
    var taskPid: Int32 = 0
    /// Nanoseconds since the epoch.
    var startedAt: Int64 = 0
    package var cgroup = ""
    package var taskID = ""
    package var taskName = ""

    package func encoded() -> [UInt8] {
        Exec2__Executor__HandleState.encoded { message, arena in
            message.version = Self.version
            message.boot_id = arena.string(bootID)
            message.executor_pid = executorPid
            message.executor_start_time = executorStartTime
            message.state_dir = arena.string(stateDirectory)
            message.directory = arena.string(directory)
            message.task_pid = taskPid
            message.started_at_ns = startedAt
            message.cgroup = arena.string(cgroup)
            message.task_id = arena.string(taskID)
            message.task_name = arena.string(taskName)
        }
    }
}

extension HandleState {
    package init(_ task: SupervisedTask) {
        bootID = Boot.id
        executorPid = task.executorPid
        executorStartTime = task.executorStartTime
        stateDirectory = task.directory.stateDirectory
        directory = task.directory.name
        taskPid = task.started?.pid ?? 0
        startedAt = task.started?.startedAt ?? 0
        cgroup = task.cgroup
        taskID = task.id
        taskName = task.name
    }

    /// Reads a driver_state; nil where it was not written by this driver.
    package init?(driverState bytes: [UInt8]) {
        guard !bytes.isEmpty, let decoded = try? DecodedMessage<Exec2__Executor__HandleState>(bytes) else { return nil }
        let message = decoded.root
        guard message.version >= 1, !message.boot_id.isEmpty else { return nil }
        bootID = message.boot_id
        executorPid = message.executor_pid
        executorStartTime = message.executor_start_time
        stateDirectory = message.state_dir
        directory = message.directory
        taskPid = message.task_pid
        startedAt = message.started_at_ns
        cgroup = message.cgroup
        taskID = message.task_id
        taskName = message.task_name
    }

    /// Reads the identity that the Executor left in a task's directory; nil if it is missing or incomplete.
    package init?(identityIn directory: TaskStateDirectory) {
        guard let state = try? Self.identity(in: directory) else { return nil }
        self = state
    }

    /// As above, but what cannot be read for a shortage of the moment is an error, and not nothing.
    static func identity(in directory: TaskStateDirectory) throws(SystemError) -> HandleState? {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try directory.read(StateFile.identity, atMost: Frame.maximumSize)
        } catch {
            if StartError.mayPass(error.errno) { throw error }
            return nil
        }
        return HandleState(identity: bytes, in: directory)
    }

    private init?(identity bytes: [UInt8], in directory: TaskStateDirectory) {
        let payload = bytes.withUnsafeBytes { bytes -> [UInt8]? in
            var scanner = FrameScanner()
            return scanner.next(in: bytes).map { Array($0) }
        }
        guard let payload, let state = HandleState(driverState: payload) else { return nil }
        self = state
        self.directory = directory.name
        self.stateDirectory = directory.stateDirectory
    }

    var taskDirectory: TaskStateDirectory { TaskStateDirectory(stateDirectory: stateDirectory, name: directory) }

    /// Whether the Executor still runs; fails where the kernel does not tell.
    package var executorLives: Bool {
        get throws(SystemError) { try heldExecutor() != nil }
    }

    /// Holds the Executor, if it still runs; fails where the kernel does not tell.
    ///
    /// The handle of an earlier release's driver that was short of descriptors has the start time 0, which says
    /// nothing: what the Executor itself left in the directory counts then, or else which pipe it has open.
    package func heldExecutor() throws(SystemError) -> HeldProcess? {
        guard bootID == Boot.id else { return nil }
        guard executorStartTime == 0 else {
            return try HeldProcess.open(pid: executorPid, startTime: executorStartTime)
        }
        if let own = try Self.identity(in: taskDirectory), own.bootID == bootID, own.executorPid == executorPid {
            return try HeldProcess.open(pid: executorPid, startTime: own.executorStartTime)
        }
        return try HeldProcess.open(pid: executorPid, holdingPipeOf: taskDirectory)
    }
}

extension Exec2__Executor__HandleState: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__handle_state__init(message)
    }
}
