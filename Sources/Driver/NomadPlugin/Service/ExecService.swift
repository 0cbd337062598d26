import CLinux
import CMessages
import EventLoop
import Exec
import GRPCServer
import HCLog
import Host
import Messages
import Planning
import Shared
import Supervision

/// ExecTask and ExecTaskStreaming.
extension DriverService {
    /// How much of each output ExecTask answers with, in bytes: the last of it, where the reason stands.
    private static let maximumAnswer = 64 << 10

    func registerExec(on server: RPCServer) {
        server.register(
            Self.prefix + "ExecTask",
            .undoable(Wire.ExecTaskRequest.self) {
                (request) throws(RPCStatus) in
                try await exec(
                    request.task_id, request.strings(.command), timeout: request.timeout?.nanoseconds ?? 0
                )
            })
        server.register(
            Self.prefix + "ExecTaskStreaming",
            .bidirectional {
                (requests, responses) throws(RPCStatus) in try await exec(requests, responses)
            })
    }

    private func startSession(
        _ id: String, _ command: [String], _ kind: CommandStreams.Kind
    ) async throws(RPCStatus) -> (session: ExecSession, task: SupervisedTask) {
        let task = try task(id, to: .exec)
        let session = try await BlockingPool.shared.run(in: .starts) { () throws(RPCStatus) in
            try startSession(in: task, command, kind)
        }
        return (session, task)
    }

    private func startSession(
        in task: SupervisedTask, _ command: [String], _ kind: CommandStreams.Kind
    ) throws(RPCStatus) -> ExecSession {
        let id = task.id
        do throws(ExecError) {
            guard task.end == nil, let executorPidfd = task.executorPidfd, let main = task.started?.pid else {
                throw .notRunning(id)
            }
            let settings = settings.current
            let search = ExecutorSearch.onHost(configured: settings.configuration.executorPath)
            guard let program = search.found else {
                throw ExecError(task: id, search.missesText + "; " + ExecutorSearch.remedy, .impossible)
            }
            let place = ExecSession.Place(
                taskID: id, executor: task.executorPid, executorPidfd: executorPidfd,
                mainProcess: main > 0 ? main : nil,
                program: program, executorCgroup: table.executorCgroup,
                standby: settings.configuration.standbyExecutor ? table.standbyAttendant : nil)
            let isTerminal = if case .terminal = kind { true } else { false }
            let session = try ExecSession.start(
                ExecRequest(command: command.map { ByteText.text($0.utf8) }, hasTerminal: isTerminal), kind, in: place,
                reactor: table.reactor)
            log.debug(
                "exec in a task",
                ["task_id": id, "command": command.first ?? "", "attendant_pid": session.command.attendant])
            return session
        } catch {
            // Who wanted the command is told; a script check would fill the log with it.
            log.info("cannot exec in a task", ["task_id": id, "error": error.text])
            throw error.status
        }
    }

    // MARK: ExecTask

    private func exec(
        _ id: String, _ command: [String], timeout: UInt64
    ) async throws(RPCStatus) -> RPCHandler.Response {
        let (session, task) = try await startSession(id, command, .outputs)
        let tails = OutputTails(capacity: Self.maximumAnswer)
        let status: ExecSession.ExitStatus
        do throws(SessionError<RPCStatus>) {
            status = try await session.run(timeout: timeout == 0 ? nil : timeout, taskEnded: task.ended) {
                (output, piece) throws(RPCStatus) in
                if let piece { tails.append(piece, output) }
            }
        } catch {
            prepareNext(after: session)
            throw error.status(ofCommand: command.first ?? "", in: id, timeout: timeout)
        }
        if let note = status.note { notes.tell(note, of: task) }
        let response = Wire.ExecTaskResponse.encoded { response, arena in
            response.stdout = arena.bytes(tails.bytes(of: .stdout))
            response.stderr = arena.bytes(tails.bytes(of: .stderr))
            response.result = arena.exitResult(status)
        }
        // A command that has run cannot be undone.
        return RPCHandler.Response(response, undo: {}, afterwards: { prepareNext(after: session) })
    }

    /// Has the next command's attendant spawned, once this one has ended.
    private func prepareNext(after session: ExecSession) {
        BlockingPool.shared.perform { [table, settings, taskCgroup = session.taskCgroup] in
            let isWanted = { settings.current.configuration.standbyExecutor }
            // The program is not looked for where none may stand by.
            guard isWanted(),
                let program = ExecutorSearch.onHost(configured: settings.current.configuration.executorPath).found
            else { return }
            table.prepareAttendant(program: program, forTaskIn: taskCgroup, while: isWanted)
        }
    }

    // MARK: ExecTaskStreaming

    private func exec(_ requests: RPCRequestStream, _ responses: RPCResponseStream) async throws(RPCStatus) {
        guard let setup = try await requests.next(Wire.ExecTaskStreamingRequest.self)?.setup else {
            throw RPCStatus(
                code: .invalidArgument,
                message:
                    "cannot exec: the first message of ExecTaskStreaming must have setup, with the task and the command"
            )
        }
        let isTerminal = setup.isSet(\.tty)
        let early = isTerminal ? try await EarlyMessages(of: requests, on: table.reactor) : EarlyMessages()
        let (session, task) = try await startSession(
            setup.task_id, setup.strings(.command), isTerminal ? .terminal(early.size) : .pipes)
        let status: ExecSession.ExitStatus
        do throws(SessionError<RPCStatus>) {
            status = try await session.run(
                taskEnded: task.ended,
                feed: { (session) throws(SessionError<RPCStatus>) in
                    if let request = early.other { try await Self.feed(request, to: session) }
                    while let request = try await Self.next(of: requests) {
                        try await Self.feed(request, to: session)
                    }
                    session.endInput()
                },
                deliver: { (output, piece) throws(RPCStatus) in
                    try await responses.send(Self.response(output, piece))
                })
        } catch {
            prepareNext(after: session)
            // No time was given to it.
            throw error.status(ofCommand: setup.strings(.command).first ?? "", in: task.id, timeout: 0)
        }
        if let note = status.note { notes.tell(note, of: task) }
        try await responses.send(
            Wire.ExecTaskStreamingResponse.encoded { response, arena in
                response.exited = true.wire
                response.result = arena.exitResult(status)
            })
        prepareNext(after: session)
    }

    private static func next(
        of requests: RPCRequestStream
    ) async throws(SessionError<RPCStatus>) -> MessageView<Wire.ExecTaskStreamingRequest>? {
        do throws(RPCStatus) {
            return try await requests.next(Wire.ExecTaskStreamingRequest.self)
        } catch {
            throw .caller(error)
        }
    }

    private static func feed(
        _ request: MessageView<Wire.ExecTaskStreamingRequest>, to session: ExecSession
    ) async throws(SessionError<RPCStatus>) {
        if let size = request.tty_size { session.streams.resize(TerminalSize(size)) }
        guard let stdin = request.stdin else { return }
        let data = stdin.data
        if !data.isEmpty {
            do throws(ExecError) { try await session.feed(data) } catch { throw .failed(error) }
        }
        if stdin.isSet(\.close) { session.endInput() }
    }

    private static func response(_ output: ExecSession.Output, _ piece: [UInt8]?) -> [UInt8] {
        Wire.ExecTaskStreamingResponse.encoded { response, arena in
            let operation = arena.message(Wire.ExecTaskStreamingIOOperation.self) { operation in
                if let piece { operation.data = arena.bytes(piece) } else { operation.close = true.wire }
            }
            switch output {
            case .stdout: response.stdout = operation
            case .stderr: response.stderr = operation
            }
        }
    }
}

/// What a client has sent behind the setup of a terminal's session before the command starts.
private struct EarlyMessages: Sendable {
    /// How long a size is waited for; clients that have a terminal send it at once.
    private static let waitNanoseconds: UInt64 = 100_000_000
    /// And one more behind it.
    private static let lullNanoseconds: UInt64 = 10_000_000

    /// The last size.
    private(set) var size: TerminalSize?
    /// The first message that is no size.
    private(set) var other: MessageView<Wire.ExecTaskStreamingRequest>?

    init() {}

    init(of requests: RPCRequestStream, on reactor: Reactor) async throws(RPCStatus) {
        let deadline = exec2_monotonic() + Self.waitNanoseconds
        var wait = Self.waitNanoseconds
        while let request = try await Self.next(of: requests, atMost: wait, on: reactor) {
            guard let given = request.tty_size, request.stdin == nil else {
                other = request
                return
            }
            size = TerminalSize(given)
            let now = exec2_monotonic()
            guard now < deadline else { return }
            wait = min(Self.lullNanoseconds, deadline - now)
        }
    }

    /// The next message, or nil when the time is up first; it is then the next reader's.
    private static func next(
        of requests: RPCRequestStream, atMost nanoseconds: UInt64, on reactor: Reactor
    ) async throws(RPCStatus) -> MessageView<Wire.ExecTaskStreamingRequest>? {
        let bytes = await withTaskGroup(of: [UInt8]?.self) { group in
            group.addTask { try? await requests.next() }
            group.addTask {
                _ = await OneShot<Void>().wait(atMost: nanoseconds, on: reactor)
                return nil
            }
            var found: [UInt8]?
            while let result = await group.next() {
                found = found ?? result
                group.cancelAll()
            }
            return found
        }
        if Task.isCancelled { throw .clientGone }
        guard let bytes else { return nil }
        do throws(MessageError) {
            return try DecodedMessage<Wire.ExecTaskStreamingRequest>(bytes).root
        } catch {
            throw error.status
        }
    }
}

extension TerminalSize {
    fileprivate init(_ size: MessageView<Wire.ExecTaskStreamingRequestTerminalSize>) {
        self.init(rows: UInt16(clamping: size.height), columns: UInt16(clamping: size.width))
    }
}

extension MessageArena {
    fileprivate func exitResult(_ status: ExecSession.ExitStatus) -> UnsafeMutablePointer<Wire.ExitResult>? {
        message(Wire.ExitResult.self) { result in
            result.exit_code = status.exitCode
            result.signal = status.signal
        }
    }
}
