import CMessages
import EventLoop
import GRPCServer
import Glibc
import HCLog
import Host
import Messages
import Planning
import Shared
import Supervision

/// The calls about one task, from its start to its end.
extension DriverService {
    func start(
        _ request: MessageView<Wire.StartTaskRequest>
    ) async throws(RPCStatus) -> RPCHandler.Response {
        guard let config = request.task else {
            throw RPCStatus(
                code: .invalidArgument, message: "StartTaskRequest.task is missing: there is no task to start")
        }
        let wanted = TaskRequest(config)
        let launched: TaskTable.Launched
        do throws(StartError) {
            launched = try await start(wanted)
        } catch {
            // The agent tells it: in its own log, and in the allocation's events.
            log.info("cannot start a task", ["task_id": wanted.id, "error": error.text])
            throw error.status
        }
        let task = launched.task
        task.claims.claim(settings.current.version)
        log.info(
            "started a task",
            ["task_id": wanted.id, "pid": task.started?.pid ?? 0, "executor_pid": task.executorPid])
        let state = HandleState(task)
        let response = Wire.StartTaskResponse.encoded { response, arena in
            response.handle = arena.message(Wire.TaskHandle.self) { handle in
                handle.version = Self.handleVersion
                handle.config = arena.borrow(config)
                handle.state = HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__TASK_STATE__RUNNING
                handle.driver_state = arena.bytes(state.encoded())
            }
        }
        return RPCHandler.Response(
            response, undo: { undoStart(of: task) },
            afterwards: {
                table.watchLogs(of: task, recovered: false)
                launched.prepareNext()
                if let place = wanted.clientMount, !table.clientMounts.knows(place) {
                    table.clientMounts.add(place, allocDir: wanted.allocDir)
                }
            })
    }

    /// Ends a task of which no host has a handle.
    private func undoStart(of task: SupervisedTask) {
        log.info(
            "the client has gone before it had the answer to StartTask: its task is ended, of which it has no handle",
            ["task_id": task.id])
        Task(executorPreference: BlockingPool.shared) { [self] in
            // The client may have destroyed it by its id, and started it anew: then it is not known any more.
            do throws(TaskError) {
                try await table.end(task, signal: SIGKILL, timeoutNanoseconds: 0)
            } catch {
                log.error("cannot end a task that nobody has a handle of", ["task_id": task.id, "error": error.text])
            }
        }
    }

    private func start(_ request: TaskRequest) async throws(StartError) -> TaskTable.Launched {
        table.clientMounts.note(allocDir: request.allocDir)
        let settings = settings.current
        let host = HostAbilities.ofThisHost()
        let reading = table.readPaths(TemplateSpecification.usualPaths(settings.configuration, host: host))
        // Where it could not be opened before.
        if settings.configuration.confinement.denialEvents { table.tellDenials(true) }
        let user: TaskUser
        do throws(TaskUserError) {
            user = try await UserLookUp(reactor: table.reactor).user(request.user) { reason in
                log.warn(
                    "a task's user has the groups of /etc/group alone",
                    ["task_id": request.id, "user": request.user, "reason": reason])
            }
            try settings.configuration.users.check(user, named: request.user)
        } catch {
            if case .givenUp = error { throw .givenUp }
            throw StartError(error.mayPass ? .transient : .permanent, error.description)
        }
        var planning = LaunchPlanning(
            configuration: settings.configuration,
            megahertzPerCore: settings.topology.megahertzPerCore ?? ClientTopology.ofThisHost().megahertzPerCore,
            host: host)
        planning.agentHome = getenv("HOME").map { String(cString: $0) }
        planning.hostGroupName = HostGroups.name
        planning.clientMounts = table.clientMounts.known
        if request.dns != nil {
            do throws(SystemError) {
                planning.hostResolver = try HostResolver.configuration(isolated: request.network != .host)
            } catch {
                throw StartError(error)
            }
        }
        let specification = try planning.specification(for: request, user: user)
        let search = ExecutorSearch.onHost(configured: settings.configuration.executorPath)
        let launched = try await table.start(
            id: request.id, name: request.name, specification, stateDirectory: settings.configuration.stateDirectory,
            executor: search, standby: settings.configuration.standbyExecutor,
            reading: reading)
        for message in specification.cgroupWrites.compactMap({ TaskEvent.message(raised: $0) }) {
            // Not a warning: this is normal for a small task, and it gets more than it asks for.
            log.debug("raised a limit of a task", ["task_id": request.id, "reason": message])
        }
        return launched
    }

    // MARK: Recover

    func recover(_ request: MessageView<Wire.RecoverTaskRequest>) async throws(RPCStatus) -> [UInt8] {
        guard let handle = request.handle else {
            throw RPCStatus(
                code: .invalidArgument,
                message: "RecoverTaskRequest.handle is missing: there is nothing to recover the task by")
        }
        if let config = handle.config { table.clientMounts.note(allocDir: config.alloc_dir) }
        let id = request.task_id.isEmpty ? handle.config?.id ?? "" : request.task_id
        let settings = settings.current
        do throws(TaskError) {
            let task: SupervisedTask
            if let state = HandleState(driverState: handle.driver_state) {
                let name = handle.config?.name ?? state.taskName
                task = try await table.recover(id: id, name: name, state)
            } else if let adopted = try await table.adopt(
                id: id, stateDirectory: settings.configuration.stateDirectory, to: .recover)
            {
                task = adopted
            } else {
                throw .unrecoverable(
                    id: id,
                    reason: "its handle's driver_state is none of this driver's, and the state directory "
                        + "\(settings.configuration.stateDirectory) holds nothing of it")
            }
            task.claim(settings.version)
        } catch {
            switch error {
            // The host asks for every task that it has not forgotten, and expects to hear this of those that ended.
            case .gone, .unrecoverable: log.debug("no task to recover", ["task_id": id, "reason": error.text])
            default: log.error("cannot recover a task", ["task_id": id, "error": error.text])
            }
            throw error.status
        }
        return Wire.RecoverTaskResponse.encoded()
    }

    // MARK: Wait, signal, stop

    func wait(_ id: String) async throws(RPCStatus) -> [UInt8] {
        let task = try task(id, to: .wait)
        task.claims.beginWait()
        task.tellWhatIsHeldBack()
        defer { task.claims.endWait() }
        task.claimWithoutWaiting(settings.current.version)
        guard let end = await task.waitForEnd() else { throw .clientGone }
        return Wire.WaitTaskResponse.encoded { response, arena in
            response.result = arena.exitResult(end)
            if let error = end.error ?? end.failureByMemory { response.err = arena.string(error) }
        }
    }

    func signal(_ id: String, _ name: String) async throws(RPCStatus) {
        let task = try task(id, to: .signal)
        guard let number = SignalName.number(of: name) else {
            throw RPCStatus(
                code: .invalidArgument,
                message: "cannot send signal \(quoted(name)) to task \(quoted(id)): there is no signal of that name")
        }
        do throws(TaskError) {
            try await task.signal(number)
        } catch {
            throw error.status
        }
    }

    func stop(
        _ id: String, signal name: String, timeout: MessageView<Wire.Google.Duration>?
    ) async throws(RPCStatus) {
        // What is nowhere has been stopped; an error would make the client retry for minutes.
        let task: SupervisedTask
        do throws(TaskError) {
            let directory = settings.current.configuration.stateDirectory
            guard let found = try await table.adoptToEnd(id: id, stateDirectory: directory, to: .stop) else { return }
            task = found
        } catch {
            throw error.status
        }
        var number = Self.defaultStopSignal
        if !name.isEmpty {
            if let known = SignalName.number(of: name) {
                number = known
            } else {
                number = SIGTERM
                log.warn("unknown stop signal, SIGTERM is sent instead", ["task_id": id, "signal": name])
            }
        }
        do throws(TaskError) {
            try await task.stop(signal: number, timeoutNanoseconds: timeout?.nanoseconds ?? 0)
        } catch {
            throw error.status
        }
    }
}

extension MessageView where Message == Wire.Google.Duration {
    /// 0 for a negative duration.
    var nanoseconds: UInt64 {
        let (product, overflow) = self.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return self.seconds < 0 ? 0 : UInt64(Int64.max) }
        let (sum, carry) = product.addingReportingOverflow(Int64(self.nanos))
        return carry ? UInt64(Int64.max) : UInt64(max(0, sum))
    }
}
