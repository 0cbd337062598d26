import Shared

/// What a call about a task was to do, for the sentence that says why it could not.
package enum TaskAction: String, CaseIterable, Sendable {
    case recover = "recover"
    case wait = "wait for"
    case signal = "send a signal to"
    case stop = "stop"
    case destroy = "destroy"
    case inspect = "inspect"
    case sample = "sample the usage of"
    case exec = "exec in"
}

/// Why a call about a task failed.
package enum TaskError: Error, Sendable {
    case unknown
    /// Another call is just starting it: nothing can be done with it before that has succeeded.
    case starting(id: String, TaskAction)
    case notRunning(id: String)
    case signalRefused(id: String, signal: Int32, Errno)
    case executor(id: String, LinkError)
    case cannotBeKilled(id: String, executor: Int32)
    case stillRunning(id: String)
    /// Another Driver has the task's session, or its directory cannot be used.
    case cannotAttach(id: String, TaskAction, SystemError)
    case unrecoverable(id: String, reason: String)
    /// Nothing is left of it, and nothing tells how it ended.
    case gone(id: String, reason: String)
    /// The task is over, and its state directory cannot be removed.
    case notRemoved(id: String, SystemError)

    package var text: String {
        switch self {
        case .unknown: "task not found for given id"
        case .starting(let id, let action): "cannot \(action.rawValue) task \(quoted(id)): it is just being started"
        case .notRunning(let id): "task \(quoted(id)) is not running: it has ended"
        case .cannotAttach(let id, let action, let error):
            "cannot \(action.rawValue) task \(quoted(id)): \(error.text)"
        case .unrecoverable(let id, let reason), .gone(let id, let reason):
            "cannot recover task \(quoted(id)): \(reason)"
        case .notRemoved(let id, let error): "cannot remove the state directory of task \(quoted(id)): \(error.text)"
        case .stillRunning(let id): "cannot destroy running task \(quoted(id)): stop it first, or use force"
        case .signalRefused(let id, let signal, let errno):
            "cannot send signal \(signal) to task \(quoted(id)): \(errno.text)"
        case .executor(let id, let error): "task \(quoted(id)): \(error.text)"
        case .cannotBeKilled(let id, let executor):
            "task \(quoted(id)) has not ended 10 s after SIGKILL to its Executor (pid \(executor)): a process in "
                + "uninterruptible sleep, or one that a tracer holds, has not ended; see ps -eo pid,stat,wchan:32,args"
        }
    }
}
