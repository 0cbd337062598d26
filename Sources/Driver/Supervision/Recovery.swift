import CLinux
import EventLoop
import Glibc
import Shared

/// What is found of a task that an earlier Driver started, and what follows from it.
package enum Recovery: Sendable, Equatable {
    /// The Executor lives: open a session.
    case running
    /// As `running`, by the pipes that the Executor holds: its directory is not there any more.
    case runningWithoutDirectory
    case ended(TaskEnd)
    /// Ended, and what it left in its cgroup is to be killed.
    case supervisorLost(TaskEnd)
    /// Nothing is left of the task, nor of how it ended. RecoverTask has to fail: an agent that had the task as running
    /// then starts it again, and one that had it as ended expects the error.
    case gone(reason: String)

    /// | boot  | directory  | exit record | Executor | outcome |
    /// |-------|---------|-------------|----------|---------|
    /// | same  | there   | present     | –        | ended, from the record |
    /// | same  | there   | missing     | alive    | running |
    /// | same  | there   | missing     | gone     | supervisor lost |
    /// | same  | missing | –           | alive    | running without a directory |
    /// | same  | missing | –           | gone     | gone |
    /// | other | there   | present     | –        | ended, from the record: it had ended before |
    /// | other | –       | missing     | –        | gone: the host was rebooted |
    ///
    /// A damaged record is as good as none, but for the reason that is given.
    ///
    /// - Parameter executorLives: By pid and start time; means nothing after a reboot.
    package static func outcome(
        sameBoot: Bool, hasDirectory: Bool, record: Result<ExitRecord?, RecordError>, executorLives: Bool, now: Int64
    ) -> Recovery {
        let damage: String
        switch record {
        case .success(.some(let record)): return .ended(.recorded(record))
        case .success(nil): damage = ""
        case .failure(let error): damage = "; " + error.text
        }
        if !sameBoot {
            return .gone(reason: "the host was rebooted while the task ran; its exit status is lost\(damage)")
        }
        if executorLives { return hasDirectory ? .running : .runningWithoutDirectory }
        if !hasDirectory {
            return .gone(reason: "neither its state directory nor its supervisor (Executor) is there any more")
        }
        return .supervisorLost(
            .lost(
                reason:
                    "the task's supervisor (Executor) was killed while no driver ran; the kernel has ended the task "
                    + "with it, and its exit status is lost\(damage)", endedAt: now))
    }
}

/// A process that is still the one that was meant, held by a pidfd.
package struct HeldProcess: ~Copyable, Sendable {
    package let pid: Int32
    let startTime: UInt64
    private let pidfd: OwnedDescriptor

    /// Holds the process of a pid, if it started at `startTime`; nil where that is gone. The order counts:
    /// once the pidfd is open the pid cannot come to mean another process unnoticed.
    ///
    /// Fails where the kernel does not tell, for want of descriptors say: to take the process for gone then
    /// would be to lose a task that runs.
    package static func open(pid: Int32, startTime: UInt64) throws(SystemError) -> HeldProcess? {
        guard pid > 0 else { return nil }
        let number = exec2_pidfd_open(pid)
        guard number >= 0 else {
            let errno = Errno.last
            if errno == .noSuchProcess || errno == .invalidArgument { return nil }
            throw SystemError("open the process", String(pid), errno)
        }
        let pidfd = OwnedDescriptor(owning: number)
        // A zombie still has its start time, but an Executor that is one has ended.
        guard let stat = try ProcessFacts.stat(of: pid), ProcessFacts.startTime(in: stat) == startTime,
            !ProcessFacts.isZombie(in: stat)
        else { return nil }
        return HeldProcess(pid: pid, startTime: startTime, pidfd: pidfd)
    }

    /// Holds the process of a pid, if it has the control pipe of this directory open; nil where it has not. For a
    /// handle that has no start time: only the directory's own Executor, and a Driver, have that pipe open.
    static func open(pid: Int32, holdingPipeOf directory: TaskStateDirectory) throws(SystemError) -> HeldProcess? {
        guard let stat = try ProcessFacts.stat(of: pid), let startTime = ProcessFacts.startTime(in: stat),
            let process = try open(pid: pid, startTime: startTime)
        else { return nil }
        let pipe = directory.path + "/" + StateFile.control
        guard try OpenFiles.read(of: pid).contains(where: { OpenFiles.withoutRemovedMark($0.path) == pipe }) else {
            return nil
        }
        return consume process
    }

    /// SIGKILL; returns when the process has ended, or after 10 s.
    func kill(on reactor: Reactor) async {
        guard exec2_pidfd_send_signal(pidfd.number, SIGKILL) == 0 else { return }
        let gone = OneShot<Void>()
        guard let watch = try? reactor.watchOnce(pidfd.number, { gone.set(()) }) else { return }
        _ = await gone.wait(atMost: 10_000_000_000, on: reactor)
        reactor.unwatch(watch, pidfd.number)
    }

    package consuming func asExecutor() -> ExecutorProcess {
        ExecutorProcess(pid: pid, startTime: startTime, pidfd: pidfd)
    }
}

/// The cgroup of a task whose Executor is gone.
enum AbandonedCgroup {
    /// Kills what is left in it. Written only where something is: see `CgroupDirectory` of the Executor.
    static func empty(_ path: String) {
        guard !path.isEmpty, let events = try? HostFile.read(path + "/cgroup.events") else { return }
        guard events.withUnsafeBytes({ flatKeyedValue("populated", in: $0) }) == 1 else { return }
        guard let file = try? OwnedDescriptor.open(path + "/cgroup.kill", O_WRONLY) else { return }
        _ = write(file.number, "1", 1)
    }
}
