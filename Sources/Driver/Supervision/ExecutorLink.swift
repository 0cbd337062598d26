import CLinux
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// Why an Executor did not answer.
package enum LinkError: Error, Sendable, Equatable {
    /// The control pipe is full: requests are not being read.
    case notReading(executor: Int32)
    case noAnswer(executor: Int32, seconds: UInt64)
    case gone(executor: Int32)
    case cannotWrite(SystemError)
    case otherProtocol(executor: Int32)

    var text: String {
        switch self {
        case .notReading(let pid):
            "the task's Executor (pid \(pid)) does not read its control pipe: it is stopped or hangs; see its state in "
                + "/proc/\(pid)/status, and continue it with SIGCONT"
        case .noAnswer(let pid, let seconds):
            "the task's Executor (pid \(pid)) has not answered for \(seconds) s: it is stopped or hangs; see its state "
                + "in /proc/\(pid)/status, and continue it with SIGCONT"
        case .otherProtocol(let pid):
            "the task's Executor (pid \(pid)) speaks none of the pipe protocol's versions \(PipeProtocol.minimum) to "
                + "\(PipeProtocol.maximum): it is of a release too far from this driver's"
        case .gone(let pid): "the task's Executor (pid \(pid)) is gone"
        case .cannotWrite(let error): error.text
        }
    }
}

/// A task's FIFOs, and the lock that lets one Driver at a time use them: flock(2) of the file `lock` and of the control
/// pipe.
///
/// `lock` is a second name of the events pipe, so that a Driver of any release locks the same file, and this one needs no
/// descriptor for it alone. In a directory that an earlier release has made it is a file of its own.
///
/// To be opened before an Executor is spawned: a FIFO loses what was written to it when no process has it open.
struct SessionPipes: ~Copyable, Sendable {
    /// Nil where one of the pipes is the lock.
    private let lock: OwnedDescriptor?
    let control: OwnedDescriptor
    let events: OwnedDescriptor
    /// Why they are not those in the directory; nil where they are.
    let damage: SystemError?

    /// Those in the directory or, where something in it is missing or was replaced, those that the Executor has open.
    ///
    /// - Parameter executor: Its pid, while a pidfd of it is held.
    init(_ directory: TaskStateDirectory, orHeldBy executor: Int32) throws(SystemError) {
        do throws(SystemError) {
            self = try SessionPipes(directory)
        } catch {
            if error.errno == .busy || StartError.mayPass(error.errno) { throw error }
            self = try SessionPipes(heldBy: executor, since: error)
        }
    }

    private init(
        lock: consuming OwnedDescriptor?, control: consuming OwnedDescriptor, events: consuming OwnedDescriptor,
        damage: SystemError? = nil
    ) {
        self.lock = lock
        self.control = control
        self.events = events
        self.damage = damage
    }

    /// Fails with EBUSY where another Driver holds the lock.
    init(_ directory: TaskStateDirectory) throws(SystemError) {
        guard let lock = try directory.lock() else {
            throw SystemError("take the task's session, which another driver process holds, in", directory.path, .busy)
        }
        let control = try directory.openPipe(StateFile.control)
        // By it the session is held against a Driver that finds no lock in the directory any more.
        try Self.lock(control, "in", directory.path)
        if try directory.isEventsPipe(lock) {
            self.init(lock: nil, control: control, events: lock)
        } else {
            self.init(lock: consume lock, control: control, events: try directory.openPipe(StateFile.events))
        }
    }

    /// Those that the Executor has open. The lock is that of the control pipe alone then.
    private init(heldBy executor: Int32, since damage: SystemError) throws(SystemError) {
        let control = try Self.open(StateFile.control, heldBy: executor)
        try Self.lock(control, "of", "Executor \(executor)")
        self.init(
            lock: nil, control: control, events: try Self.open(StateFile.events, heldBy: executor), damage: damage)
    }

    private static func lock(
        _ control: borrowing OwnedDescriptor, _ preposition: String, _ owner: String
    ) throws(SystemError) {
        if exec2_lock(control.number) == 0 { return }
        let errno = Errno.last
        throw errno == .wouldBlock
            ? SystemError("take the task's session, which another driver process holds, \(preposition)", owner, .busy)
            : SystemError("lock the control pipe \(preposition)", owner, errno)
    }

    /// An Executor has no other FIFOs of these names: its task's logs are the client's to name.
    private static func open(_ name: String, heldBy executor: Int32) throws(SystemError) -> OwnedDescriptor {
        for (number, path) in try OpenFiles.read(of: executor)
        where OpenFiles.withoutRemovedMark(path).pathComponents.last.map(String.init) == name {
            let link = "/proc/\(executor)/fd/\(number)"
            guard FileIdentity(fifo: link) != nil else { continue }
            return try OwnedDescriptor.open(link, O_RDWR | O_NONBLOCK)
        }
        throw SystemError("find the pipe \(name) among the open files of", "Executor \(executor)", .noSuchFile)
    }
}

/// The Driver's ends of an Executor's FIFOs: sends requests, pairs answers with them, and hands on
/// what the Executor says by itself.
final class ExecutorLink: Sendable {
    private typealias Answer = OneShot<Result<ExecutorEvent, LinkError>>

    private struct State {
        var nextRequest: UInt64 = 1
        var waiting: [UInt64: Answer] = [:]
        var session: SessionState
    }

    private enum SessionState {
        /// The Executor does not know of this session.
        case unknown
        /// It does, from the launch request or by its welcome.
        case open
        /// The Executor is gone.
        case closed
    }

    /// How long an Executor may take to answer; it does so at once unless it is stopped or hangs.
    static let answerSeconds: UInt64 = 5
    /// Between two looks at a full pipe. Only a foreign writer fills one, so that this is rare.
    private static let fullPipeNanoseconds: UInt64 = 10_000_000

    let session: UInt64
    private let executor: Int32
    private let pipes: SessionPipes
    private let reactor: Reactor
    private let state: Mutex<State>
    private let log: Logger

    /// - Parameter isOpen: Whether the Executor was launched with this session.
    init(
        _ pipes: consuming SessionPipes, session: UInt64, isOpen: Bool, executor: Int32, reactor: Reactor, log: Logger
    ) {
        self.pipes = pipes
        state = Mutex(State(session: isOpen ? .open : .unknown))
        self.session = session
        self.executor = executor
        self.reactor = reactor
        self.log = log
    }

    /// The descriptor to watch; `receive` is to be called when it is readable.
    var eventsDescriptor: Int32 { pipes.events.number }

    /// Sends a request and waits for its answer, `answerSeconds` at most.
    func ask(_ request: ExecutorRequest) async throws(LinkError) -> ExecutorEvent {
        if case .unknown = state.withLock({ $0.session }) { _ = try await openSession() }
        return try await exchange(request)
    }

    /// Says hello, and learns what the Executor has. Whatever it said to earlier Drivers is passed over
    /// by the session number that every event bears.
    func openSession() async throws(LinkError) -> StartedTask {
        let hello = ExecutorRequest.hello(
            session: session, minimum: PipeProtocol.minimum, maximum: PipeProtocol.maximum)
        guard case .welcome(_, _, let task) = try await exchange(hello) else {
            throw .otherProtocol(executor: executor)
        }
        state.withLock { if case .unknown = $0.session { $0.session = .open } }
        return task
    }

    private func exchange(_ request: ExecutorRequest) async throws(LinkError) -> ExecutorEvent {
        let answer = Answer()
        let id = try state.withLock { (state) throws(LinkError) in
            if case .closed = state.session { throw .gone(executor: executor) }
            let id = state.nextRequest
            state.nextRequest += 1
            state.waiting[id] = answer
            return id
        }
        defer { _ = state.withLock { $0.waiting.removeValue(forKey: id) } }
        try await sendWhenThereIsRoom(request, id)
        let result = await answer.wait(atMost: Self.answerSeconds * 1_000_000_000, on: reactor)
        guard let result else { throw .noAnswer(executor: executor, seconds: Self.answerSeconds) }
        return try result.get()
    }

    /// The reader of a full pipe may be busy, or may have stopped reading. It gets the time of an answer.
    private func sendWhenThereIsRoom(_ request: ExecutorRequest, _ id: UInt64) async throws(LinkError) {
        let deadline = exec2_monotonic() + Self.answerSeconds * 1_000_000_000
        while true {
            do throws(LinkError) {
                return try send(request, id)
            } catch {
                guard case .notReading = error, exec2_monotonic() < deadline, !Task.isCancelled else { throw error }
                _ = await OneShot<Void>().wait(atMost: Self.fullPipeNanoseconds, on: reactor)
            }
        }
    }

    private func send(_ request: ExecutorRequest, _ id: UInt64) throws(LinkError) {
        let failure = withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer -> Errno? in
            let frame = request.encode(id: id, into: buffer)
            let count = retrying { write(pipes.control.number, frame.baseAddress, frame.count) }
            return count == frame.count ? nil : .last
        }
        guard let failure else { return }
        if failure == .wouldBlock { throw .notReading(executor: executor) }
        throw .cannotWrite(SystemError("write to the control pipe of", "Executor \(executor)", failure))
    }

    /// Empties the events pipe of what was said to earlier Drivers: an Executor drops its answer to hello
    /// where the pipe is full. To be called before the pipe is watched.
    func discardEarlier() {
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
            // A pipe holds 1 MiB at most (fcntl(2), F_SETPIPE_SZ, unprivileged).
            for _ in 0..<16 where retrying({ read(pipes.events.number, buffer.baseAddress, buffer.count) }) <= 0 {
                return
            }
        }
    }

    /// Reads every event in the pipe; unsolicited ones of this session go to `handle`. Called on the
    /// reactor's thread only, or after the watch has ended.
    func receive(_ handle: (ExecutorEvent) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
            while true {
                let count = retrying { read(pipes.events.number, buffer.baseAddress, buffer.count) }
                guard count > 0 else { return }
                var scanner = FrameScanner()
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                while let payload = scanner.next(in: bytes) { dispatch(payload, handle) }
                if scanner.garbage > 0 {
                    log.warn(
                        "dropped bytes in an events pipe that are no event",
                        ["bytes": scanner.garbage, "executor_pid": executor])
                }
            }
        }
    }

    private func dispatch(_ payload: UnsafeRawBufferPointer, _ handle: (ExecutorEvent) -> Void) {
        // Events of an earlier Driver's session may still be in the pipe.
        guard let (session, request, event) = ExecutorEvent.decode(payload), session == self.session else { return }
        guard let event else {
            log.warn("dropped an event of an unknown kind", ["executor_pid": executor])
            return
        }
        if request == 0 {
            handle(event)
        } else {
            state.withLock { $0.waiting[request] }?.set(.success(event))
        }
    }

    /// Ends every wait: the Executor is gone.
    func close() {
        let waiting = state.withLock { state in
            state.session = .closed
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        for answer in waiting { answer.set(.failure(.gone(executor: executor))) }
    }
}
