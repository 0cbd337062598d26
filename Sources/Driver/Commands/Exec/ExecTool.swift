import CLinux
import EventLoop
import Exec
import Glibc
import Host
import Shared
import Supervision

/// `exec`: one command in a task that runs, under Nomad or under `run`. The task is found by its state directory;
/// its Driver is not asked, and need not be there.
struct ExecTool: Sendable {
    let options: ExecOptions
    let signals: StopSignals
    /// Tells of SIGWINCH (signalfd(2)).
    let resizes: Int32
    private let stoppedBy = Box()

    /// The signal that has ended the tool.
    private final class Box: Sendable {
        let number = OneShot<Int32>()
    }

    /// To be called on the first thread, before others exist.
    init(_ options: ExecOptions) throws(SystemError) {
        self.options = options
        signals = try StopSignals()
        resizes = exec2_signalfd(SIGWINCH)
        guard resizes >= 0 else { throw SystemError("watch for", "signal \(SIGWINCH)") }
    }

    /// Runs the command to its end; returns the exit status.
    func execute() async -> Int32 {
        guard geteuid() == 0 else { return fail("exec must run as root, which owns the state directories: use sudo") }
        do throws(SystemError) {
            let reactor = try Reactor()
            let session: ExecSession
            do throws(ExecError) {
                session = try start(reactor)
            } catch {
                return fail(error.text)
            }
            return try await attend(session, reactor)
        } catch {
            return fail(error.text)
        }
    }

    private func fail(_ sentence: String) -> Int32 {
        Console.complain(sentence)
        return CommandLineTool.ExitStatus.runFailed
    }

    private var hasTerminal: Bool {
        options.terminal ?? (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1)
    }

    private func start(_ reactor: Reactor) throws(ExecError) -> ExecSession {
        let task: TaskSearch.Candidate
        do throws(TaskSearch.Failure) {
            task = try TaskSearch.find(options.task, in: options.stateDirectory)
        } catch {
            throw ExecError(.notFound, error.text)
        }
        let search = ExecutorSearch.onHost(configured: options.executorPath)
        guard let program = search.found else {
            throw ExecError(
                .impossible,
                "\(search.missesText); install \(ExecutorSearch.fileName) beside nomad-driver-exec2, or say with --executor "
                    + "where it is")
        }
        let state = task.state
        guard let executor = try? state.heldExecutor() else {
            throw .notRunning(task.title)
        }
        let pidfd = executor.asExecutor().takePidfd()
        let place = ExecSession.Place(
            taskID: task.title, executor: state.executorPid, executorPidfd: pidfd.number, program: program,
            executorCgroup: ExecutorCgroup())
        return try ExecSession.start(
            ExecRequest(command: options.command, hasTerminal: hasTerminal),
            hasTerminal ? .terminal(OwnTerminal.size) : .pipes, in: place, reactor: reactor)
    }

    private func attend(_ session: ExecSession, _ reactor: Reactor) async throws(SystemError) -> Int32 {
        let terminal = hasTerminal ? OwnTerminal() : nil
        defer { terminal?.restore() }
        let running = Task { await run(session, OwnInput(reactor: reactor)) }
        _ = try reactor.watch(resizes) { [resizes] in
            withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { drop in
                _ = retrying { read(resizes, drop.baseAddress, drop.count) }
            }
            if let size = OwnTerminal.size { session.streams.resize(size) }
        }
        try signals.watch(on: reactor) { [stoppedBy] number in
            stoppedBy.number.set(number)
            running.cancel()
        }
        let result = await running.value
        terminal?.restore()
        switch result {
        case .success(let status):
            if let note = status.note { _ = fail(note) }
            return status.exitCode
        case .failure(let error):
            if let number = stoppedBy.number.current { return 128 + number }
            switch error {
            case .failed(let error): return fail(error.text)
            // As the command itself would have ended.
            case .caller(.cannotWrite(.brokenPipe)), .cancelled: return 128 + SIGPIPE
            case .caller(.cannotWrite(let error)): return fail("cannot write the command's output: \(error.text)")
            // None was given.
            case .timeIsUp: return fail("the command's time was up")
            }
        }
    }

    /// Why output came to an end.
    private enum OutputError: Error {
        case cannotWrite(Errno)
    }

    private func run(
        _ session: ExecSession, _ input: OwnInput
    ) async -> Result<ExecSession.ExitStatus, SessionError<OutputError>> {
        do throws(SessionError<OutputError>) {
            return .success(
                try await session.run(
                    feed: { (session) throws(SessionError<OutputError>) in
                        while let piece = await input.read() {
                            do throws(ExecError) { try await session.feed(piece) } catch { throw .failed(error) }
                        }
                        session.endInput()
                    },
                    deliver: { (output, piece) throws(OutputError) in
                        guard let piece else { return }
                        let stream = output == .stdout ? STDOUT_FILENO : STDERR_FILENO
                        if let error = await Console.writeAll(piece, to: stream) { throw .cannotWrite(error) }
                    }))
        } catch {
            return .failure(error)
        }
    }
}
