import CMessages
import EventLoop
import Messages
import Shared
import Supervision

/// What InspectTask tells.
extension DriverService {
    func inspection(of task: SupervisedTask) -> [UInt8] {
        let end = task.end
        let started = task.started
        return Wire.InspectTaskResponse.encoded { response, arena in
            response.task = arena.message(Wire.TaskStatus.self) { status in
                status.id = arena.string(task.id)
                status.name = arena.string(task.name)
                status.state =
                    end == nil
                    ? HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__TASK_STATE__RUNNING
                    : HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__TASK_STATE__EXITED
                if let started { status.started_at = arena.timestamp(started.startedAt) }
                if let end {
                    // A clock that was set back: what was lost, or recorded by an earlier Executor, has its time.
                    status.completed_at = arena.timestamp(max(end.endedAt, started?.startedAt ?? end.endedAt))
                    status.result = arena.exitResult(end)
                }
            }
            response.driver = arena.message(Wire.TaskDriverStatus.self) { status in
                status[.attributes] = arena.stringMap(
                    Wire.TaskDriverStatusAttributesEntry.self,
                    ["pid": String(started?.pid ?? 0), "executor_pid": String(task.executorPid)])
            }
        }
    }
}

extension MessageArena {
    func exitResult(_ end: TaskEnd) -> UnsafeMutablePointer<Wire.ExitResult>? {
        message(Wire.ExitResult.self) { result in
            result.exit_code = end.exitCode
            result.signal = end.signal
            result.oom_killed = end.oomKilled.wire
        }
    }

    /// - Parameter nanoseconds: Since the epoch.
    func timestamp(_ nanoseconds: Int64) -> UnsafeMutablePointer<Wire.Google.Timestamp>? {
        message(Wire.Google.Timestamp.self) { timestamp in
            timestamp.seconds = nanoseconds / 1_000_000_000
            timestamp.nanos = Int32(nanoseconds % 1_000_000_000)
        }
    }
}
