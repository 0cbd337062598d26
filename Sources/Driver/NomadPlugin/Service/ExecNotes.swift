import CLinux
import EventLoop
import HCLog
import Shared
import Supervision

/// Logs what the operator should know about commands in tasks. A script check runs such a command every few seconds,
/// and each would say the same: it is said at once, and then each hour with how many commands it is about.
final class ExecNotes: Sendable {
    private static let period: UInt64 = 3_600_000_000_000

    private struct Key: Hashable {
        let task: ObjectIdentifier
        let note: String
    }

    private let limits = Mutex<[Key: RepeatLimit]>([:])
    private let log: Logger

    init(log: Logger) { self.log = log }

    func tell(_ note: String, of task: SupervisedTask) {
        let key = Key(task: ObjectIdentifier(task), note: note)
        let (commands, isNew) = limits.withLock { limits in
            let known = limits[key]
            var limit = known ?? RepeatLimit(period: Self.period)
            defer { limits[key] = limit }
            return (limit.occurrence(at: exec2_monotonic()), known == nil)
        }
        if let commands {
            log.warn("exec in a task", ["task_id": task.id, "reason": note, "commands": commands])
        }
        guard isNew else { return }
        Task { [self] in
            _ = await task.ended.wait()
            limits.withLock { _ = $0.removeAndShrink(key) }
        }
    }
}
