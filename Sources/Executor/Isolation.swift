import CLinux
import SharedEmbedded

/// A group that is not this process's effective one, as which nothing runs beside it.
private let overflowGroup: gid_t = 65534

/// Shuts this Executor to processes of its own user: a task of root's sees it as PID 1, and kernels let
/// processes of one user reach each other.
///
/// Since it is not dumpable, the Executor cannot be traced, and its memory and descriptors, the launch request with the
/// task's secrets among them, cannot be opened through /proc (ptrace(2), "Ptrace access mode checking"). Its saved
/// group differs from the effective one, so that no process of the task has *all* of its ids, as prlimit(2) demands: by
/// a limit of 0 on file sizes or processor time a task could prevent that its own end is recorded.
func hardenAgainstTask(_ request: LaunchRequest.Message) throws(LaunchFailure) {
    guard exec2_harden_process(overflowGroup) == 0 else { throw LaunchFailure(.supervision, request.task_state_dir) }
}
