import EventLoop
import Shared

/// How far a task has come, as this Driver knows it. The truth is with the Executor and on disk; this can be made again
/// from them.
///
/// | state        | started   | launch failed | no answer | end known | Executor gone  |
/// |--------------|-----------|---------------|-----------|-----------|----------------|
/// | launching    | → running | → failed      | –         | –         | → neverStarted |
/// | attaching    | → running | –             | → running | → ended   | → reading      |
/// | running      | –         | –             | –         | → ended   | → reading      |
/// | failed       | –         | –             | –         | –         | → neverStarted |
/// | ended        | –         | –             | –         | –         | → over         |
/// | reading      | –         | –             | –         | → over    | –              |
/// | over         | –         | –             | –         | –         | –              |
/// | neverStarted | –         | –             | –         | –         | –              |
///
/// –: refused, and the state stays: two ways may lead to the same news, and the first counts.
enum TaskState<Executor: Sendable>: Sendable {
    /// The Executor has the launch request.
    case launching(Executor, isStandby: Bool)
    /// The task of an earlier Driver's: its Executor is asked for a session. Until it answers, the handle tells which
    /// process the task is.
    case attaching(Executor, handle: StartedTask)
    case running(Executor, StartedTask)
    /// The Executor has reported why it cannot launch the task, and exits.
    case failed(Executor, LaunchFailure)
    /// How the task ended is known, and its Executor has not exited yet.
    case ended(Executor, StartedTask, TaskEnd)
    /// The Executor is gone, and what it has left on disk is being read.
    case reading(Executor, StartedTask, ExecutorTermination)
    /// Without an Executor where the task had ended before this Driver came.
    case over(Executor?, StartedTask, TaskEnd)
    /// The Executor is gone, and the task has not run.
    case neverStarted(Executor, LaunchFailure)

    enum Event: Sendable {
        /// The Executor says that the task runs, after a launch or when it is asked for a session.
        case started(StartedTask)
        case launchFailed(LaunchFailure)
        /// The Executor has not answered when it was asked for a session.
        case noAnswer
        /// From the exit record, or because it is known to be lost.
        case endKnown(TaskEnd)
        case executorGone(ExecutorTermination)
    }

    /// The state after an event; nil where the event is refused.
    func after(_ event: Event) -> TaskState? {
        switch (self, event) {
        case (.launching(let executor, _), .started(let task)),
            (.attaching(let executor, _), .started(let task)):
            .running(executor, task)
        case (.launching(let executor, _), .launchFailed(let failure)): .failed(executor, failure)
        case (.launching(let executor, let isStandby), .executorGone(let termination)):
            .neverStarted(executor, .executorGone(termination, wasStandby: isStandby))
        case (.attaching(let executor, let handle), .noAnswer): .running(executor, handle)
        case (.attaching(let executor, let task), .endKnown(let end)),
            (.running(let executor, let task), .endKnown(let end)):
            .ended(executor, end.task ?? task, end)
        case (.attaching(let executor, let task), .executorGone(let termination)),
            (.running(let executor, let task), .executorGone(let termination)):
            .reading(executor, task, termination)
        case (.failed(let executor, let failure), .executorGone): .neverStarted(executor, failure)
        case (.ended(let executor, let task, let end), .executorGone): .over(executor, task, end)
        case (.reading(let executor, let task, _), .endKnown(let end)): .over(executor, end.task ?? task, end)
        default: nil
        }
    }

    /// Nil where the task had ended before this Driver came.
    var executor: Executor? {
        switch self {
        case .launching(let executor, _), .attaching(let executor, _), .running(let executor, _),
            .failed(let executor, _), .ended(let executor, _, _), .reading(let executor, _, _),
            .neverStarted(let executor, _):
            executor
        case .over(let executor, _, _): executor
        }
    }

    /// How the launch went; nil as long as that is not known.
    var launch: LaunchOutcome? {
        switch self {
        case .launching, .attaching: nil
        case .running(_, let task), .ended(_, let task, _), .reading(_, let task, _), .over(_, let task, _):
            .started(task)
        case .failed(_, let failure), .neverStarted(_, let failure): .failed(failure)
        }
    }

    /// The task once it has started; nil before, or where it never did.
    var started: StartedTask? {
        guard case .started(let task)? = launch else { return nil }
        return task
    }

    /// How the task ended, once that is known.
    var end: TaskEnd? {
        switch self {
        case .ended(_, _, let end), .over(_, _, let end): end
        default: nil
        }
    }

    /// Whether nothing more can come.
    var isFinal: Bool {
        switch self {
        case .over, .neverStarted: true
        default: false
        }
    }
}

/// Why a task was not launched.
enum LaunchFailure: Error, Equatable, Sendable {
    case reported(stage: UInt32, Errno, subject: String)
    /// The Executor ended and gave no reason.
    case executorGone(ExecutorTermination, wasStandby: Bool)
}

/// How a launch went.
enum LaunchOutcome: Equatable, Sendable {
    case started(StartedTask)
    case failed(LaunchFailure)
}

extension TaskState: Equatable where Executor: Equatable {}
