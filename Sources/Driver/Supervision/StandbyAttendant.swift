import CLinux
import EventLoop
import Glibc
import HCLog

/// An attendant that was spawned ahead of its command: the next command in any task is handed to it, which saves the time of
/// a spawn. It is spawned when a command has ended, and is ended when no task is left.
package struct StandbyAttendant: Sendable {
    let process: StandbyExecutor
    private let cgroup: ExecutorCgroup
    private let reactor: Reactor

    /// - Parameter cgroup: Where attendants live, beside the Executors.
    init(cgroup: ExecutorCgroup, reactor: Reactor, log: Logger) {
        process = StandbyExecutor(title: "standby attendant", reactor: reactor, log: log)
        self.cgroup = cgroup
        self.reactor = reactor
    }

    /// Hands a command to the attendant that stands by; nil if none stands by, or if the one that
    /// does was spawned from another program or into another cgroup.
    ///
    /// - Parameters:
    ///   - program: The path of the Executor's program.
    ///   - request: The packed request.
    ///   - descriptors: What the attendant is to have at `AttendantDescriptor`'s numbers, from the first on.
    package func take(
        program: String, forTaskIn taskCgroup: String, request: [UInt8], handing descriptors: [Int32]
    ) -> ExecutorProcess? {
        guard let origin = origin(program, taskCgroup) else { return nil }
        guard let attendant = process.take(origin, request: request, handing: descriptors) else { return nil }
        // If it was stopped while it stood by, its command would wait.
        _ = exec2_pidfd_send_signal(attendant.pidfdNumber, SIGCONT)
        return attendant
    }

    /// Spawns the next command's attendant, where none stands by. It may block its thread for a moment.
    func prepare(program: String, forTaskIn taskCgroup: String) {
        guard let origin = origin(program, taskCgroup) else { return }
        process.prepare(origin, in: cgroup, forTaskIn: taskCgroup) { (number) throws(SpawnError) in
            try ExecutorProcess.spawnAttendantAhead(path: program, cgroup: number, reactor: reactor)
        }
    }

    private func origin(_ program: String, _ taskCgroup: String) -> ExecutorOrigin? {
        ExecutorOrigin(program: program, cgroup: ExecutorCgroup.path(forTaskIn: taskCgroup))
    }
}
