import EventLoop
import Exec
import Glibc
import HCLog
import Host
import Planning
import Shared
import Supervision

/// Why `run` itself failed.
struct RunFailure: Error {
    let text: String

    init(_ text: String) { self.text = text }
}

/// `run`: one command, as a task of the engine's that only this process knows.
struct RunCommand: Sendable {
    let options: RunOptions
    let signals: RunSignals

    /// Runs the command to its end and removes everything; returns the exit status.
    func execute() async -> Int32 {
        do throws(RunFailure) {
            return try await run()
        } catch {
            Console.complain(error.text)
            return CommandLineTool.ExitStatus.runFailed
        }
    }

    private func run() async throws(RunFailure) -> Int32 {
        guard geteuid() == 0 else {
            throw RunFailure("run must run as root, for namespaces, cgroups and other users' ids: use sudo")
        }
        // With fewer it would fail half-way, and could not even list what it has to remove.
        guard DescriptorLimit.most >= Self.minimumOpenFiles else {
            throw RunFailure(
                "run needs at least \(Self.minimumOpenFiles) open files, and may have \(DescriptorLimit.most) (ulimit -n): "
                    + "raise the limit")
        }
        let input = try beginningOfInput()
        let reactor = try reactor()
        let session = Session(
            name: "\(RunDirectories.namePrefix)\(getpid())-" + String(UInt32.random(in: .min ... .max), radix: 16),
            executor: try executor(), reactor: reactor, user: try await user(on: reactor), signals: RunSignalReceiver())
        do throws(SystemError) {
            try signals.watch(on: reactor) { session.signals.deliver($0) }
        } catch {
            throw RunFailure(error.text)
        }
        var tries = RunTries(options)
        var last: Attempt?
        while true {
            let attempt: Attempt
            do throws(RunFailure) {
                attempt = try await RunCommand(options: tries.options, signals: signals).run(in: session, after: last)
            } catch {
                // What was found out before is told all the same.
                last?.suggest()
                throw error
            }
            last = attempt
            guard let trace = attempt.trace else { return attempt.status }
            let offer = trace.offer(own: attempt.own) { RunTries.isPublic($0, to: attempt.user, tries.options) }
            let isStopped = attempt.isStopped || session.signals.isStopWaiting
            switch tries.decide(status: attempt.status, isStopped: isStopped, offer: offer) {
            case .again(let line):
                trace.say(line)
                if let beginning = input { lseek(STDIN_FILENO, beginning, SEEK_SET) }
            case .last(let line):
                if let line { trace.say(line) }
                if options.suggests { attempt.suggest() }
                return RunTrace.output.failure == nil ? attempt.status : CommandLineTool.ExitStatus.runFailed
            }
        }
    }

    /// Where each try begins to read a file; nil for what has no beginning. What comes only once cannot be given to a second try.
    private func beginningOfInput() throws(RunFailure) -> off_t? {
        var facts = stat()
        guard options.retries, fstat(STDIN_FILENO, &facts) == 0, isatty(STDIN_FILENO) == 0 else { return nil }
        if facts.st_mode & S_IFMT == S_IFREG { return lseek(STDIN_FILENO, 0, SEEK_CUR) }
        // Character device 1:3 (devices.txt of the kernel).
        if facts.st_mode & S_IFMT == S_IFCHR && facts.st_rdev == 0x103 { return nil }
        throw RunFailure(
            "--retry runs the command again, but its input comes only once: redirect stdin from a file or from /dev/null"
        )
    }

    /// What all tries have in common.
    private struct Session: Sendable {
        /// Of the directories, which later tries may have rules for.
        let name: String
        let executor: ExecutorSearch
        let reactor: Reactor
        /// Nil: a dynamic user.
        let user: TaskUser?
        let signals: RunSignalReceiver
    }

    /// How one try went.
    private struct Attempt {
        let status: Int32
        let isStopped: Bool
        /// Nil: nothing was traced.
        let trace: RunTrace?
        /// The command's own directories.
        let own: [String]
        let user: uid_t

        func suggest() { trace?.suggest(own: own) }
    }

    private func run(in session: Session, after earlier: Attempt?) async throws(RunFailure) -> Attempt {
        let reactor = session.reactor
        let stop = RunStop(timeoutSeconds: options.killTimeoutSeconds, reactor: reactor)
        let directories = try RunDirectories(
            name: session.name, user: session.user, preferring: earlier?.user, stateParent: options.stateParent)
        let user = directories.user
        let result: Result<TaskEnd, RunFailure>
        var traced: RunTrace?
        do throws(SystemError) {
            let table = TaskTable(reactor: reactor, log: log)
            let cgroup = RunCgroup(
                in: CgroupHierarchy.onHost(), name: session.name, controllers: RunLimits.controllers(for: options))
            defer {
                cgroup.remove(Console.complain)
                directories.remove(Console.complain)
            }
            defer { stop.finish() }
            let streams = try RunStreams(terminal: hasTerminal, user: user, directories) { stop.outputFailed($0) }
            defer { streams.restore() }
            session.signals.set { take($0, streams, stop) }
            defer { session.signals.clear() }
            let trace = try options.traces ? RunTrace(after: earlier?.trace) : nil
            // Only this process has the other end: the kernel closes it when this process ends, even by SIGKILL.
            let leash = try PipeEnds()
            let attachment = LaunchSpecification.Attachment(
                leash: leash.reading.number, stdin: streams.stdin, hasTerminal: hasTerminal,
                terminals: streams.terminals,
                killTimeoutNanoseconds: UInt64(options.killTimeoutSeconds) * 1_000_000_000)
            result = await runTask(
                in: table, directories, cgroup, user, session.executor, streams, attachment, stop, trace)
            stop.ended(streams.outputs)
            await streams.finish()
            if case .success = result, let trace, await trace.finish() { traced = trace }
            _ = consume leash
        } catch {
            throw RunFailure(error.text)
        }
        return Attempt(
            status: status(try result.get(), stop), isStopped: stop.isRequested, trace: traced,
            own: [directories.task.task, directories.task.alloc], user: user.uid)
    }

    private static let minimumOpenFiles = 96

    var hasTerminal: Bool { options.terminal ?? (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) }

    /// What becomes of a signal.
    private func take(_ signal: Int32, _ streams: RunStreams, _ stop: RunStop) {
        switch signal {
        case _ where RunSignals.stopping.contains(signal): stop.request(signal)
        // The kernel tells the command, by its terminal's new size.
        case SIGWINCH where streams.hasTerminal: streams.resize()
        case SIGTSTP:
            // The command is alone in its session, where SIGTSTP itself would stop nothing (setpgid(2), "orphaned").
            stop.pass(SIGSTOP) {
                streams.restore()
                kill(getpid(), SIGSTOP)
            }
        case SIGCONT:
            streams.takeTerminal()
            streams.resize()
            stop.pass(SIGCONT)
        default: stop.pass(signal)
        }
    }

    /// Starts the task, waits for its end, and has the engine remove what is its own.
    private func runTask(
        in table: TaskTable, _ directories: RunDirectories, _ cgroup: RunCgroup, _ user: TaskUser,
        _ executor: ExecutorSearch, _ streams: RunStreams, _ attachment: LaunchSpecification.Attachment,
        _ stop: RunStop,
        _ trace: RunTrace?
    ) async -> Result<TaskEnd, RunFailure> {
        do throws(RunFailure) {
            var specification = try specification(directories, cgroup, user)
            specification.attachment = attachment
            specification.isByteText = true
            if let trace { table.spawned.withLock { $0 = trace.spawned } }
            let task: SupervisedTask
            do throws(StartError) {
                task = try await table.start(
                    id: RunDirectories.taskName, name: RunDirectories.taskName, specification,
                    stateDirectory: directories.stateDirectory, executor: executor
                ).task
            } catch {
                throw RunFailure(error.text)
            }
            do throws(SystemError) {
                try streams.begin()
            } catch {
                // Without its input it would wait for ever.
                Console.complain(error.text)
                stop.request(SIGKILL)
            }
            stop.started(task)
            let end = await task.waitForEnd()
            do throws(TaskError) {
                try await table.destroy(
                    RunDirectories.taskName, force: true, stateDirectory: directories.stateDirectory)
            } catch {
                throw RunFailure(error.text)
            }
            // Only the end of this Swift task would end the wait, and nothing cancels that.
            guard let end else { throw RunFailure("the wait for the command's end was broken off") }
            return .success(end)
        } catch {
            return .failure(error)
        }
    }

    private func reactor() throws(RunFailure) -> Reactor {
        do throws(SystemError) {
            return try Reactor()
        } catch {
            throw RunFailure(error.text)
        }
    }

    private func executor() throws(RunFailure) -> ExecutorSearch {
        let search = ExecutorSearch.onHost(configured: options.executorPath)
        guard search.found != nil else {
            throw RunFailure(
                "\(search.missesText); install \(ExecutorSearch.fileName) beside nomad-driver-exec2, or say with "
                    + "--executor where it is")
        }
        return search
    }

    /// The user that the command line names; nil where it names none.
    private func user(on reactor: Reactor) async throws(RunFailure) -> TaskUser? {
        guard let name = options.user else { return nil }
        do throws(TaskUserError) {
            return try await UserLookUp(reactor: reactor).user(name)
        } catch {
            throw RunFailure(error.description)
        }
    }

    /// Without --verbose, nowhere: what matters comes back as errors.
    private var log: Logger {
        Logger(name: "exec2", sink: options.isVerbose ? .standardError : LogSink(descriptor: -1))
    }

    private func status(_ end: TaskEnd, _ stop: RunStop) -> Int32 {
        if let error = end.error { Console.complain(error) }
        if end.oomKilled, let message = TaskEvent.message(about: end, memory: (nil, nil)) { Console.complain(message) }
        if let error = stop.writeError {
            Console.complain("cannot write the command's output: \(error.text)")
            return CommandLineTool.ExitStatus.runFailed
        }
        switch end {
        case .recorded(let record): return record.exitCode
        // What is not known is not made up.
        case .lost: return CommandLineTool.ExitStatus.runFailed
        }
    }
}
