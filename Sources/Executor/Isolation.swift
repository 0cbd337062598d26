import CLinux
import SharedEmbedded

/// A group that is not this process's effective one, as which nothing runs beside it.
private let overflowGroup: gid_t = 65534

/// Shuts this Executor to processes of its own user: a task of root's sees it as PID 1, and kernels let
/// processes of one user reach each other.
///
/// Not dumpable, the Executor cannot be traced, and its memory and descriptors, the launch request with the
/// task's secrets among them, cannot be opened through /proc (ptrace(2), "Ptrace access mode checking"). With a
/// saved group that is another than the effective one, nobody has *all* of its ids, which prlimit(2) asks for: with
/// a limit of 0 on file sizes or processor time a task could keep its own end from being recorded.
func hardenAgainstTask(_ request: LaunchRequest.Message) throws(LaunchFailure) {
    guard exec2_harden_process(overflowGroup) == 0 else { throw LaunchFailure(.supervision, request.task_state_dir) }
}
