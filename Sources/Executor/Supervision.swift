import CLinux
import SharedEmbedded

/// Owns the task, once it is launched (`launch`): delivers signals, enforces stop, reaps every process, and records the
/// end.
///
/// | phase    | main process ends | stop            | time is up                | nothing left     |
/// |----------|-------------------|-----------------|---------------------------|------------------|
/// | running  | kill → draining   | signal→stopping | –                         | –                |
/// | stopping | kill → draining   | earlier deadline| kill all → killing        | –                |
/// | killing  | kill → draining   | –               | record with survivors → overdue | –          |
/// | draining | –                 | –               | record with survivors → overdue | record → leave |
/// | emptying | –                 | –               | kill the cgroup → draining | record → leave     |
/// | overdue  | –                 | –               | –                         | leave            |
final class Supervision {
    private enum Phase {
        case running, stopping, killing, draining, emptying, overdue
    }

    /// How long processes that were sent SIGKILL may take before the exit status is recorded without
    /// waiting for them (a process in uninterruptible sleep, or one that a tracer holds, can take for ever).
    private static let drainNanoseconds: UInt64 = 10_000_000_000

    /// How long commands that were run in the task from outside (alloc exec) may take to leave the cgroup:
    /// they are killed with the task, but others reap them.
    private static let emptyNanoseconds: UInt64 = 500_000_000

    private let channel: EventChannel
    private let requests: RequestReader
    private let record: RecordFile
    private let cgroup: CgroupDirectory?
    private let main: MainProcess
    private let task: StartedTask
    private let childSignals: Int32
    private let timer: Int32
    private let oomKillsBefore: UInt64?
    /// What an attached task is tied to its process by; -1: it is not tied, or not any more.
    private var leash: Int32
    /// How long the task may take to end when that process is gone.
    private let killTimeout: UInt64
    /// Whom signals are for, as kill(2) has it: the main process, or its process group.
    private let signalTarget: pid_t
    /// On the monotonic clock, when supervision began: the other clock may be set back while the task runs.
    private let began = exec2_monotonic()

    /// Detached mounts that are to be closed when the task has run for `moment`: the kernel has their last user wait for a
    /// grace period of RCU, and the end of a short task would be heard of after that.
    private var unneeded: (Int32, Int32)?
    private static let moment: UInt64 = 20_000_000

    private var phase = Phase.running
    private var deadline: UInt64 = 0
    private var cgroupEvents: Int32 = -1
    private var hasWaitedForOthers = false
    private var ended = false
    private var isRecorded = false
    private var result: ExitRecord

    init(
        channel: EventChannel, record: RecordFile, cgroup: CgroupDirectory?, main: MainProcess, task: StartedTask,
        taskDirectory: String, childSignals: Int32, timer: Int32, oomKillsBefore: UInt64?, unneeded: (Int32, Int32),
        killTimeout: UInt64?, signalsMainProcess: Bool
    ) {
        self.channel = channel
        self.requests = RequestReader(pipe: channel.control)
        self.record = record
        self.cgroup = cgroup
        self.main = main
        self.task = task
        self.childSignals = childSignals
        self.timer = timer
        self.oomKillsBefore = oomKillsBefore
        self.unneeded = unneeded
        leash = killTimeout == nil ? -1 : AttachmentDescriptor.leash
        self.killTimeout = killTimeout ?? 0
        signalTarget = signalsMainProcess ? main.pid : -main.pid
        result = ExitRecord(
            taskDirectory: taskDirectory, exitCode: 0, signal: 0, oomKilled: false, startedAt: task.startedAt,
            endedAt: 0,
            pid: task.pid, execError: main.execError, execProgram: main.program)
    }

    /// Supervises until the task and all it left are gone. False where its end could not be recorded.
    func run() -> Bool {
        while !ended {
            var waits = (
                pollfd(fd: channel.control, events: Int16(POLLIN), revents: 0),
                pollfd(fd: childSignals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: timer, events: Int16(POLLIN), revents: 0),
                // A negative descriptor is passed over (poll(2)).
                pollfd(fd: cgroupEvents, events: Int16(POLLPRI), revents: 0),
                pollfd(fd: channel.isBehind ? channel.events : -1, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: leash, events: Int16(POLLIN), revents: 0)
            )
            let timeout = unneeded == nil ? -1 : Int32(Self.moment / 1_000_000)
            _ = withUnsafeMutableBytes(of: &waits) { bytes in
                poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 6, timeout)
            }
            if waits.1.revents != 0 { reap() }
            if waits.0.revents != 0 { requests.readAll(answer) }
            if waits.2.revents != 0 { timeIsUp() }
            if waits.3.revents != 0 {
                takeCgroupEvent()
                leaveWhenEmpty()
            }
            if waits.4.revents != 0 { channel.catchUp() }
            if waits.5.revents != 0 { ownerIsGone() }
            if unneeded != nil, !ended, exec2_monotonic() > began + Self.moment { closeUnneeded() }
        }
        return isRecorded
    }

    private func closeUnneeded() {
        guard let (first, second) = unneeded else { return }
        unneeded = nil
        for number in [first, second] where number >= 0 { _ = close(number) }
    }

    // MARK: Requests

    private func answer(id: UInt64, request: ExecutorRequest?) {
        switch request {
        case .hello(let session, let minimum, let maximum):
            guard let version = PipeProtocol.common(minimum: minimum, maximum: maximum) else {
                channel.send(.refused(Errno(rawValue: EPROTONOSUPPORT)), replyTo: id)
                return
            }
            channel.session = session
            channel.send(.welcome(protocol: version, state: state, task: task), replyTo: id)
        case .signal(let number):
            switch phase {
            case .running, .stopping, .killing: break
            case .draining, .emptying, .overdue:
                channel.send(.refused(.noSuchProcess), replyTo: id)
                return
            }
            // The main process is not reaped yet, so its pid and its group cannot be somebody else's.
            let failed = kill(signalTarget, number) != 0
            channel.send(failed ? .refused(.last) : .done, replyTo: id)
        case .stop(let signal, let timeout):
            stop(signal, timeout)
            channel.send(.done, replyTo: id)
        case nil:
            channel.send(.refused(Errno(rawValue: ENOSYS)), replyTo: id)
        }
    }

    private var state: ExecutorState {
        switch phase {
        case .running: .running
        case .stopping, .killing: .stopping
        case .draining, .emptying: .draining
        case .overdue: .ended
        }
    }

    private func stop(_ signal: Int32, _ timeout: UInt64) {
        switch phase {
        case .running, .stopping:
            if signal > 0 { _ = kill(signalTarget, signal) }
            let now = exec2_monotonic()
            let (until, overflow) = now.addingReportingOverflow(timeout)
            let wanted = overflow ? UInt64.max : until
            if phase == .running || wanted < deadline {
                deadline = wanted
                arm(max(1, wanted - now))
            }
            phase = .stopping
            if timeout == 0 { killMain() }
        case .killing, .draining, .emptying, .overdue:
            break
        }
    }

    /// The process that the task belongs to has ended, perhaps by SIGKILL, and nobody else will stop the task.
    private func ownerIsGone() {
        _ = close(leash)
        leash = -1
        stop(SIGTERM, killTimeout)
    }

    private func timeIsUp() {
        var expirations: UInt64 = 0
        // EAGAIN: what came at the same time, the end of the main process say, has set it anew (timerfd_create(2)).
        guard read(timer, &expirations, 8) == 8 else { return }
        switch phase {
        case .running: break
        case .stopping: killMain()
        case .killing:
            // Where others were in cgroups below the task's, it was sent to the main process alone.
            killAll()
            // The status that SIGKILL will lead to: there is no waiting until the process can be reaped.
            noteEnd(SIGKILL, rusage())
            watchCgroup()
            finish(survivors: true)
        case .draining: finish(survivors: true)
        case .emptying:
            phase = .draining
            hasWaitedForOthers = true
            arm(Self.drainNanoseconds)
            leaveWhenEmpty()
        case .overdue: break
        }
    }

    // MARK: The end

    private func reap() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { drop in
            while read(childSignals, drop.baseAddress, drop.count) > 0 {}
        }
        while true {
            var status: Int32 = 0
            var usage = rusage()
            let pid = retrying { wait4(-1, &status, WNOHANG, &usage) }
            guard pid > 0 else { break }
            if pid == main.pid { mainEnded(status, usage) }
        }
        leaveWhenEmpty()
    }

    private func mainEnded(_ status: Int32, _ usage: rusage) {
        // Its end is recorded already where it came too late for that.
        guard phase != .overdue else { return }
        noteEnd(status, usage)
        phase = .draining
        watchCgroup()
        // kill(2) with -1 goes through all processes of the host: it is left out where the task had only one.
        if hasOthers { killAll() }
        arm(Self.drainNanoseconds)
    }

    /// Whether the task has processes: children of this one, to which every orphan comes, or commands that were run in
    /// it from outside, which are in its cgroup. What enters later is seen in `leaveWhenEmpty`.
    private var hasOthers: Bool { exec2_has_children() != 0 || cgroup?.isPopulated() != false }

    /// Takes the main process's end into the record.
    private func noteEnd(_ status: Int32, _ usage: rusage) {
        exec2_wait_status(status, &result.exitCode, &result.signal)
        let now = Int64(bitPattern: exec2_realtime())
        // The end is not before the start, whatever was done to the clock.
        result.endedAt = now < result.startedAt ? result.startedAt + Int64(exec2_monotonic() - began) : now
        result.endedSinceBoot = Int64(bitPattern: exec2_boottime())
        result.userTime = microseconds(usage.ru_utime)
        result.systemTime = microseconds(usage.ru_stime)
        result.maxRSS = Int64(usage.ru_maxrss)
    }

    /// Begins to listen to the cgroup's events.
    private func watchCgroup() {
        cgroupEvents = cgroup?.openEvents() ?? -1
        // The file polls with POLLPRI until it is read for the first time.
        takeCgroupEvent()
    }

    /// Kills the task while its main process has not ended. A tracer can keep that process from being reaped, so that
    /// its end is not waited for without a limit.
    private func killMain() {
        _ = kill(main.pid, SIGKILL)
        // Not before: from here on the main process cannot fork. kill(2) with -1 goes through all processes of the host.
        if cgroup?.holdsOnly(main.pid) != true { killAll() }
        phase = .killing
        arm(Self.drainNanoseconds)
    }

    /// Kills every process of the task: all in the PID namespace whose init this is (kill(2) with -1
    /// spares only the caller, and no fork escapes it).
    private func killAll() {
        _ = kill(-1, SIGKILL)
    }

    /// Reads the cgroup's events, which POLLPRI tells of until that is done: before anything else that a change leads
    /// to, since a process that cannot be reaped may keep that from being done.
    private func takeCgroupEvent() {
        guard cgroupEvents >= 0 else { return }
        let count = withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { drop in
            retrying { pread(cgroupEvents, drop.baseAddress, drop.count, 0) }
        }
        guard count < 0 else { return }
        // The client has removed the cgroup. The file would be ready for ever, and has nothing to tell any more.
        _ = close(cgroupEvents)
        cgroupEvents = -1
    }

    private func leaveWhenEmpty() {
        switch phase {
        case .running, .stopping, .killing: return
        case .draining, .emptying, .overdue: break
        }
        var status: Int32 = 0
        while true {
            let pid = retrying { waitpid(-1, &status, WNOHANG) }
            if pid == 0 { return }
            if pid < 0 { break }
        }
        if let cgroup, cgroup.isPopulated() {
            if phase == .emptying { return }
            if phase == .draining && !hasWaitedForOthers {
                phase = .emptying
                // One that entered just now is not among those that were killed.
                killAll()
                arm(Self.emptyNanoseconds)
                return
            }
            // Somebody put a process of another namespace in. Written only then: kernels from 6.14 on
            // kill whatever is cloned into a cgroup that was ever killed, and the client may use it
            // again.
            cgroup.kill()
            return
        }
        if phase != .overdue { finish(survivors: false) }
        ended = true
    }

    /// Records the end, then rings the bell.
    private func finish(survivors: Bool) {
        if let cgroup, let before = oomKillsBefore, let now = cgroup.oomKills(), now > before {
            result.oomKilled = true
            result.memoryLimit = cgroup.memoryLimit()
            result.memoryPeak = cgroup.memoryPeak()
        }
        result.survivors = survivors
        phase = .overdue
        isRecorded = record.write(result)
        if isRecorded { channel.send(.exited(result)) }
    }

    private func arm(_ nanoseconds: UInt64) {
        _ = exec2_timerfd_set(timer, min(nanoseconds, 1 << 60))
    }
}

private func microseconds(_ time: timeval) -> Int64 { Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_usec) }
