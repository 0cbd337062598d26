import CLinux
import EventLoop
import Glibc
import Shared
import Supervision

/// A command that runs in a task under an attendant of its own.
///
/// It keeps itself alive until the attendant has ended, and reaps it, so that no zombie is left even if no caller waits
/// for the end any more.
package final class AttendedCommand: Sendable {
    /// What the attendant's end has told of the command's.
    enum End: Sendable {
        case reported(ExecReport)
        /// The attendant is gone without a word.
        case silent(ExecutorTermination)
        case unreadable(SystemError)
    }

    let ended = OneShot<End>()
    /// The attendant.
    package let attendant: Int32

    private let pidfd: OwnedDescriptor
    private let report: OwnedDescriptor
    private let leash: Mutex<OwnedDescriptor?>
    private let watch = Mutex<Reactor.Watch?>(nil)
    /// When an attendant that was to kill its command is killed itself.
    private let lateness = Mutex<Reactor.Timer?>(nil)
    private let reactor: Reactor

    private init(
        _ process: consuming ExecutorProcess, leash: consuming OwnedDescriptor, report: consuming OwnedDescriptor,
        reactor: Reactor
    ) {
        attendant = process.pid
        pidfd = process.takePidfd()
        self.report = report
        self.leash = Mutex(leash)
        self.reactor = reactor
    }

    /// Starts the command under an attendant: the one that stands by, or a new one.
    ///
    /// - Parameters:
    ///   - place: The Executor's program, the attendants' cgroup, and the attendant that stands by.
    ///   - request: See `ExecRequest.encoded`.
    ///   - entrance: The way into the task.
    static func start(
        _ place: ExecSession.Place, _ request: [UInt8], _ connection: borrowing CommandConnection,
        _ entrance: borrowing TaskEntrance, _ reactor: Reactor
    ) throws(SpawnError) -> AttendedCommand {
        let pipes: Pipes
        do throws(SystemError) {
            pipes = try Pipes()
        } catch {
            throw .system(error)
        }
        // In the order of `AttendantDescriptor`.
        let descriptors =
            [
                pipes.leash.reading.number, pipes.report.writing.number, connection.stdin.number,
                connection.stdout.number, connection.stderr.number, entrance.task.number,
            ] + (entrance.rulesetNumber.map { [$0] } ?? [])
        let process: ExecutorProcess
        if let standing = place.standby?.take(
            program: place.program, forTaskIn: entrance.request.cgroup, request: request, handing: descriptors)
        {
            process = standing
        } else {
            process = try spawn(place, request, descriptors, forTaskIn: entrance.request.cgroup, reactor)
        }
        let command = AttendedCommand(
            process, leash: pipes.leash.writing, report: pipes.report.reading, reactor: reactor)
        do throws(SystemError) {
            try command.watchAttendant()
        } catch {
            command.killAttendant()
            ChildReaper.reap(command.pidfd.number, heldBy: command, on: reactor)
            throw .system(error)
        }
        return command
    }

    private static func spawn(
        _ place: ExecSession.Place, _ request: [UInt8], _ descriptors: [Int32], forTaskIn taskCgroup: String,
        _ reactor: Reactor
    ) throws(SpawnError) -> ExecutorProcess {
        let handover: ExecutorProcess.Handover
        do throws(SystemError) {
            handover = try ExecutorProcess.Handover(request)
        } catch {
            throw .system(error)
        }
        let places = descriptors.enumerated().map { (number: $1, place: AttendantDescriptor.leash + Int32($0)) }
        let steps = ExecutorProcess.steps(handing: handover.places + places)
        func spawn(_ cgroup: Int32) throws(SpawnError) -> ExecutorProcess {
            try .spawn(path: place.program, steps, namespaces: 0, cgroup: cgroup, reactor: reactor)
        }
        guard let cgroup = place.executorCgroup else { return try spawn(-1) }
        return try cgroup.spawn(forTaskIn: taskCgroup, spawn)
    }

    /// What the Driver holds the attendant by, and hears it by.
    private struct Pipes: ~Copyable {
        let leash, report: PipeEnds

        init() throws(SystemError) {
            let leash = try PipeEnds()
            let report = try PipeEnds()
            guard exec2_set_nonblocking(report.reading.number) == 0 else {
                throw SystemError("make non-blocking", "a pipe")
            }
            self.leash = leash
            self.report = report
        }
    }

    private func watchAttendant() throws(SystemError) {
        let watch = try reactor.watch(pidfd.number) { [self] in attendantEnded() }
        self.watch.withLock { $0 = watch }
        // Where it had ended before the line above, its handler found no watch to end.
        if ended.current != nil { unwatch() }
    }

    private func unwatch() {
        let watch = self.watch.withLock { watch in
            defer { watch = nil }
            return watch
        }
        if let watch { reactor.unwatch(watch, pidfd.number) }
    }

    /// It writes no more: its report is in the pipe already, or it has written none.
    private func attendantEnded() {
        unwatch()
        let leave = ChildReaper.reap(pidfd.number, heldBy: self, on: reactor)
        leash.withLock { $0 = nil }
        do throws(SystemError) {
            ended.set(try readReport().map { .reported($0) } ?? .silent(leave))
        } catch {
            ended.set(.unreadable(error))
        }
        forgetDeadline()
    }

    private func readReport() throws(SystemError) -> ExecReport? {
        let (bytes, errno) = withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer in
            let number = report.number
            let count = retrying { read(number, buffer.baseAddress, buffer.count) }
            return (Array(buffer[..<max(0, count)]), count < 0 ? Errno.last : nil)
        }
        // Non-blocking: EAGAIN says that the pipe is empty.
        if let errno, errno != .wouldBlock { throw SystemError("read the report of", "attendant \(attendant)", errno) }
        return bytes.span.bytes.withUnsafeBytes { bytes in
            var scanner = FrameScanner()
            return scanner.next(in: bytes).flatMap { ExecReport.decode($0) }
        }
    }

    /// How long an attendant may take to do its part before it is killed.
    static let attendantNanoseconds: UInt64 = 2_000_000_000

    /// Kills the command, by letting go of the leash. Nothing happens where the command is over.
    ///
    /// An attendant that is stopped, or whose command has not come to execve since it is stopped or frozen, is
    /// killed in the end; such a command then finds its attendant gone and ends (EXEC2_STEP_PARENT_DEATH).
    func kill() {
        let wasHeld = leash.withLock { leash in
            let wasHeld = leash != nil
            leash = nil
            return wasHeld
        }
        guard wasHeld, ended.current == nil else { return }
        let timer = reactor.after(Self.attendantNanoseconds) { [self] in
            if ended.current == nil { killAttendant() }
        }
        lateness.withLock { $0 = timer }
        // Where it had ended before the line above, its handler found no deadline to forget.
        if ended.current != nil { forgetDeadline() }
    }

    /// What is kept for the deadline, descriptors too, goes with it.
    private func forgetDeadline() {
        let timer = lateness.withLock { timer in
            defer { timer = nil }
            return timer
        }
        if let timer { reactor.cancel(timer) }
    }

    /// Kills an attendant that does not do its part, and by that the command.
    func killAttendant() { _ = exec2_pidfd_send_signal(pidfd.number, SIGKILL) }
}

/// The two ends of a pipe, closed on exec, where a program that is to be started can take them from.
package struct PipeEnds: ~Copyable {
    package let reading, writing: OwnedDescriptor

    /// Makes a pipe (pipe(7)).
    package init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        guard exec2_pipe2(&ends, O_CLOEXEC) == 0 else { throw SystemError("make", "a pipe") }
        let lowReading = OwnedDescriptor(owning: ends[0])
        let lowWriting = OwnedDescriptor(owning: ends[1])
        let reading = try ExecutorProcess.aboveStandard(lowReading)
        let writing = try ExecutorProcess.aboveStandard(lowWriting)
        self.reading = reading
        self.writing = writing
    }
}
