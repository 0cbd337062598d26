/// Versions of the pipe protocol that this build speaks. A new Driver must speak with Executors of
/// every released version, since they live as long as their tasks.
///
/// - 1: never released, and not spoken any more.
/// - 2: the Executor leaves its identity in the state directory (`StateFile.identity`), so that a Driver
///   without a handle finds it.
/// - 3: the Executor keeps the memory of its launch request open as `LaunchMemory.descriptor` for the
///   task's life: what is to run beside the task is launched as the task was.
public enum PipeProtocol {
    /// The oldest version that this build speaks.
    public static let minimum: UInt32 = 2
    /// The newest version that this build speaks.
    public static let maximum: UInt32 = 3

    /// The version that both sides speak, or nil where the ranges do not meet.
    public static func common(minimum: UInt32, maximum: UInt32) -> UInt32? {
        let version = min(maximum, Self.maximum)
        return version >= max(minimum, Self.minimum) ? version : nil
    }
}

/// Where an Executor has its launch request.
public enum LaunchMemory {
    /// The descriptor of the memory (memfd_create(2)) that holds the packed request, in the Executor.
    public static let descriptor: Int32 = 4
}

/// Where the maker of a template writes which path it opens next. If it hangs, the Driver reads there which path is on
/// a file system that does not respond.
public enum TemplateProgress {
    /// An offset in the memory of its request, beyond the end of any request. There is a number of four bytes, which
    /// counts the template's paths and then its directories from 1; 0 once all are opened.
    public static let offset = 1 << 30
}

/// Maxima of a root.
public enum RootLimit {
    /// How many directories and symlinks of the host the paths of one launch or one template may lead through. Each of
    /// them is opened, and made in the root.
    public static let places = 4096
}

/// Versions of the launch request: an Executor refuses one that it does not know all fields of.
public enum LaunchVersion {
    /// A task of Nomad's. Nothing in its request needs an Executor newer than the pipe protocol does.
    public static let plain = PipeProtocol.maximum
    /// With an attachment, by which the task ends with the process that has started it.
    public static let attached: UInt32 = 4
    /// With rules for UDP ports: an older Executor would leave them out.
    public static let udpPorts: UInt32 = 5
    /// With a root of the task's own, made from a template.
    public static let ownRoot: UInt32 = 6
    /// With signals for the main process alone: an older Executor would send them to its process group.
    public static let mainProcessSignals: UInt32 = 7
    /// The newest version that this build knows.
    public static let newest = mainProcessSignals
}

/// What the Executor of an attached task finds open beside the launch request.
public enum AttachmentDescriptor {
    /// The reading end of a pipe whose other end is with the process that the task belongs to: when that process is
    /// gone, however it ended, the kernel closes it.
    public static let leash: Int32 = 5
    /// The task's stdin: a pipe, or a terminal for all three streams.
    public static let stdin: Int32 = 6
}

/// What the maker of a template and the Executors of tasks find open beside the launch request.
public enum TemplateDescriptor {
    /// Of the maker: where its report goes.
    public static let report: Int32 = 5
    /// Of a task's Executor: the template's mount namespace.
    public static let namespace: Int32 = 7
    /// Of a standby Executor: memory with the rules that every task has, as a launch request has them. Nothing else
    /// that the Executor's program finds open is here (`AttendantDescriptor`).
    public static let rules: Int32 = 12
    /// What an Executor keeps for commands in its task: the task's Landlock ruleset.
    public static let ruleset: Int32 = 8
    /// And the task's own devpts file system, if it has one. That of an attached task with a terminal is handed over
    /// here.
    public static let terminals: Int32 = 9
}

/// What the Driver asks of a running Executor.
public enum ExecutorRequest: Equatable, Sendable {
    /// Opens a session; answered by `welcome`.
    case hello(session: UInt64, minimum: UInt32, maximum: UInt32)
    /// Sends a signal to the task's process group, or to its main process alone, as its launch request says; answered
    /// by `done` or `refused`.
    case signal(Int32)
    /// Ends the task: the signal now, SIGKILL to all of it after the timeout; answered by `done`
    /// at once, the end itself is told by `exited`.
    case stop(signal: Int32, timeoutNanoseconds: UInt64)
}

/// Where a task stands in its life, as its Executor sees it.
public enum ExecutorState: UInt32, Sendable {
    case starting = 0
    case running = 1
    case stopping = 2
    case draining = 3
    case ended = 4
}

/// Facts of a task that runs.
public struct StartedTask: Equatable, Sendable {
    /// The main process, as the host numbers it.
    public var pid: Int32
    /// Nanoseconds since the epoch.
    public var startedAt: Int64

    /// The facts of a task that has just started.
    public init(pid: Int32, startedAt: Int64) {
        self.pid = pid
        self.startedAt = startedAt
    }
}

/// What an Executor tells the Driver.
public enum ExecutorEvent: Sendable {
    case welcome(protocol: UInt32, state: ExecutorState, task: StartedTask)
    case started(StartedTask)
    /// The stage is a `LaunchStage`, or a number that only a newer Executor knows.
    case launchFailed(stage: UInt32, errno: Errno, subject: String)
    case done
    case refused(Errno)
    /// The task has ended, and the exit record is on disk; with the record, which an Executor of an earlier release leaves out.
    case exited(ExitRecord?)
}

// Comparing strings takes the Unicode tables, 90 KiB that an Executor has no use for.
#if !EMBEDDED
    extension ExecutorEvent: Equatable {}
#endif
