import CMessages
import EventLoop
import Glibc
import Messages
import Planning
import Shared
import Supervision

/// One command in a running task, with its streams, from its start to its end.
package struct ExecSession: Sendable {
    package enum Output: Sendable {
        case stdout, stderr
    }

    package struct ExitStatus: Equatable, Sendable {
        package let exitCode: Int32
        package let signal: Int32
        /// Rules of the task's that the command was run without, and why; "": none.
        var passedOver = ""

        /// For the log; nil where the command had all of the task's rules.
        package var note: String? {
            passedOver.isEmpty
                ? nil : "the command was run without unveil rules whose paths could not be opened: " + passedOver
        }
    }

    /// Takes a piece of the command's output, as long as that may take; nil: there will be no more.
    package typealias Deliver<Failure: Error> = @Sendable (Output, [UInt8]?) async throws(Failure) -> Void
    /// Passes input on to the session until there is no more, or until its Swift task is cancelled.
    package typealias Feed<Failure: Error> = @Sendable (ExecSession) async throws(SessionError<Failure>) -> Void

    /// How long processes that the command has left behind may hold its pipes open, after its own end,
    /// before they are closed.
    static let leftBehindNanoseconds: UInt64 = 1_000_000_000
    let taskID: String
    package let command: AttendedCommand
    package let streams: CommandStreams
    /// Of the task's launch.
    let failureContext: LaunchFailureContext
    package let taskCgroup: String
    let reactor: Reactor

    /// What one of a session's Swift tasks has come to.
    private enum Part<Failure: Error>: Sendable {
        case output(SessionError<Failure>?)
        case fed(SessionError<Failure>?)
        case over(AttendedCommand.End?)
        case timeUp
        case idle
    }

    /// Where a command runs.
    package struct Place: Sendable {
        package let taskID: String
        package let executor: Int32
        package let executorPidfd: Int32
        /// As the Executor named it; nil: to be looked for.
        package var mainProcess: Int32?
        /// The Executor's program, which attendants are made of.
        package let program: String
        /// Where attendants live, beside the Executors; nil: where this process does.
        package var executorCgroup: ExecutorCgroup?
        /// Nil: every command has a new attendant.
        package var standby: StandbyAttendant?

        package init(
            taskID: String, executor: Int32, executorPidfd: Int32, mainProcess: Int32? = nil, program: String,
            executorCgroup: ExecutorCgroup? = nil, standby: StandbyAttendant? = nil
        ) {
            self.taskID = taskID
            self.executor = executor
            self.executorPidfd = executorPidfd
            self.mainProcess = mainProcess
            self.program = program
            self.executorCgroup = executorCgroup
            self.standby = standby
        }
    }

    /// Starts a command.
    package static func start(
        _ request: ExecRequest, _ kind: CommandStreams.Kind, in place: Place, reactor: Reactor
    ) throws(ExecError) -> ExecSession {
        guard let name = request.command.first, !name.isEmpty else { throw .emptyCommand(place.taskID) }
        let entrance = try TaskEntrance(
            task: place.taskID, executor: place.executor, executorPidfd: place.executorPidfd,
            mainProcess: place.mainProcess)
        let launch = entrance.request
        let connection: CommandConnection
        do throws(SystemError) {
            connection = try CommandConnection(
                kind, owner: launch.user_id, terminals: entrance.terminalsNumber, reactor: reactor)
        } catch {
            throw ExecError(task: place.taskID, error)
        }
        let command: AttendedCommand
        do throws(SpawnError) {
            command = try .start(place, request.encoded(launch), connection, entrance, reactor)
        } catch {
            throw ExecError(task: place.taskID, error.text, error.isTransient ? .shortage : .failed)
        }
        return ExecSession(
            taskID: place.taskID, command: command, streams: connection.streams,
            failureContext: LaunchFailureContext(launch), taskCgroup: launch.cgroup, reactor: reactor)
    }

    /// Input for the command. If the command has closed its stdin, that is not an error: the rest is discarded.
    package func feed(_ bytes: [UInt8]) async throws(ExecError) {
        do throws(SystemError) {
            _ = try await streams.stdin?.write(bytes)
        } catch {
            throw ExecError(task: taskID, error)
        }
    }

    /// The end of the command's input. A terminal's has no end but what is typed into it.
    package func endInput() {
        if case .pipes = streams.kind { streams.stdin?.close() }
    }

    /// Attends to the streams until the command is over and its output delivered. When the Swift task is
    /// cancelled, or output cannot be delivered, the command is killed.
    ///
    /// - Parameters:
    ///   - timeout: In nanoseconds; the command is killed then. Nil: none.
    ///   - taskEnded: Is set when the task has ended; nil if the caller does not watch the task.
    package func run<Failure: Error>(
        timeout: UInt64? = nil, taskEnded: OneShot<Void>? = nil, feed: Feed<Failure>? = nil,
        deliver: @escaping Deliver<Failure>
    ) async throws(SessionError<Failure>) -> ExitStatus {
        let result = await withTaskCancellationHandler {
            await attend(timeout, taskEnded, feed, deliver)
        } onCancel: {
            command.kill()
        }
        command.kill()
        for stream in [streams.stdin, streams.stdout, streams.stderr] { stream?.close() }
        switch try result.get() {
        case .reported(.ended(let exitCode, let signal, let passedOver)):
            return ExitStatus(exitCode: exitCode, signal: signal, passedOver: passedOver)
        case .reported(.failed(let stage, let errno, let subject)):
            throw .failed(ExecError(task: taskID, stage: stage, errno, subject: subject, failureContext))
        case .silent(let leave): throw .failed(.attendantLost(taskID, attendant: command.attendant, leave))
        case .unreadable(let error): throw .failed(.noReport(taskID, error))
        }
    }

    private func attend<Failure: Error>(
        _ timeout: UInt64?, _ taskEnded: OneShot<Void>?, _ feed: Feed<Failure>?,
        _ deliver: @escaping Deliver<Failure>
    ) async -> Result<AttendedCommand.End, SessionError<Failure>> {
        await withTaskGroup(of: Part<Failure>.self) { group in
            defer { group.cancelAll() }
            var outputs = 0
            let allDelivered = OneShot<Void>()
            for (output, stream) in [(Output.stdout, streams.stdout), (.stderr, streams.stderr)] {
                guard let stream else { continue }
                outputs += 1
                group.addTask { .output(await pass(output, stream, deliver)) }
            }
            if let feed {
                group.addTask { .fed(await attempt { () throws(SessionError<Failure>) in try await feed(self) }) }
            }
            group.addTask { .over(await end(allDelivered)) }
            if let timeout {
                group.addTask {
                    _ = await OneShot<Void>().wait(atMost: timeout, on: reactor)
                    return .timeUp
                }
            }
            if let taskEnded {
                group.addTask {
                    await killLateAttendant(taskEnded)
                    return .idle
                }
            }

            var over: AttendedCommand.End?
            while let part = await group.next() {
                if Task.isCancelled { return .failure(.cancelled) }
                switch part {
                case .output(let failure?), .fed(let failure?): return .failure(failure)
                case .output(nil):
                    outputs -= 1
                    if outputs == 0 { allDelivered.set(()) }
                case .over(let end): over = end
                case .timeUp:
                    // Nothing of it is left when its caller reads that.
                    command.kill()
                    _ = await command.ended.wait(atMost: 2 * AttendedCommand.attendantNanoseconds, on: reactor)
                    return .failure(.timeIsUp)
                case .fed(nil), .idle: break
                }
                if outputs == 0, let over { return .success(over) }
            }
            return .failure(.cancelled)
        }
    }

    private func attempt<Failure: Error>(
        _ body: () async throws(SessionError<Failure>) -> Void
    ) async -> SessionError<Failure>? {
        do throws(SessionError<Failure>) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private func read(_ stream: ByteStream) async -> Result<[UInt8]?, ExecError> {
        do throws(SystemError) {
            return .success(try await stream.read())
        } catch {
            return .failure(ExecError(task: taskID, error))
        }
    }

    private func pass<Failure: Error>(
        _ output: Output, _ stream: ByteStream, _ deliver: Deliver<Failure>
    ) async -> SessionError<Failure>? {
        await attempt { () throws(SessionError<Failure>) in
            reading: while true {
                switch await read(stream) {
                case .success(let piece?): try await hand(piece, output, deliver)
                case .success(nil): break reading
                case .failure(let error): throw .failed(error)
                }
            }
            if Task.isCancelled { throw .cancelled }
            try await hand(nil, output, deliver)
            // A terminal carries both, and its end is that of both.
            if streams.stderr == nil { try await hand(nil, .stderr, deliver) }
        }
    }

    private func hand<Failure: Error>(
        _ piece: [UInt8]?, _ output: Output, _ deliver: Deliver<Failure>
    ) async throws(SessionError<Failure>) {
        do throws(Failure) {
            try await deliver(output, piece)
        } catch {
            throw .caller(error)
        }
    }

    /// Waits for the command's end and brings the outputs to theirs: a terminal's at once, those of pipes
    /// when all holders are gone or their time is up. What the command itself had written is in them then.
    private func end(_ allDelivered: OneShot<Void>) async -> AttendedCommand.End? {
        let end = await command.ended.wait()
        if streams.stderr != nil {
            _ = await allDelivered.wait(atMost: Self.leftBehindNanoseconds, on: reactor)
        }
        streams.stdout.finish()
        streams.stderr?.finish()
        return end
    }

    /// The task's Executor cannot leave before its attendants have: one that is stopped or hangs is killed.
    private func killLateAttendant(_ taskEnded: OneShot<Void>) async {
        guard await taskEnded.wait() != nil else { return }
        let end = await command.ended.wait(atMost: AttendedCommand.attendantNanoseconds, on: reactor)
        if end == nil { command.killAttendant() }
    }
}
