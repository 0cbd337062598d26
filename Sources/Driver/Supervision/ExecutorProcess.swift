import CLinux
import CMessages
import EventLoop
import Glibc
import Planning
import Shared

/// An Executor that was spawned.
package struct ExecutorProcess: ~Copyable, Sendable {
    package let pid: Int32
    /// In clock ticks since boot: with it the pid means no other process. 0 for one that is no Executor of a task.
    let startTime: UInt64
    let pidfd: OwnedDescriptor
    /// The end of its pipe that says, as long as it is open, that its launch is waited for; nil where nothing is
    /// launched.
    let launchPipe: OwnedDescriptor?

    init(
        pid: Int32, startTime: UInt64, pidfd: consuming OwnedDescriptor,
        launchPipe: consuming OwnedDescriptor? = nil
    ) {
        self.pid = pid
        self.startTime = startTime
        self.pidfd = pidfd
        self.launchPipe = launchPipe
    }

    /// Gives the pidfd away.
    package consuming func takePidfd() -> OwnedDescriptor { pidfd }

    /// The pidfd, to be watched as long as this is kept.
    var pidfdNumber: Int32 { pidfd.number }

    /// Whether it has not ended (pidfd_open(2): a pidfd is readable from the end on).
    var isRunning: Bool {
        var wait = pollfd(fd: pidfd.number, events: Int16(POLLIN), revents: 0)
        return retrying { poll(&wait, 1, 0) } == 0
    }

    /// Ends one that has no task. `whenEnded` is called when it has ended.
    consuming func killAndReap(on reactor: Reactor, whenEnded: @escaping @Sendable () -> Void = {}) {
        ChildReaper.killAndReap(takePidfd(), on: reactor, whenEnded: whenEnded)
    }
}

/// Why an Executor could not be spawned.
package enum SpawnError: Error, Sendable {
    case system(SystemError)
    /// A step between clone and execve.
    case step(LaunchStage, Errno)
    case execute(path: String, Errno)
    /// Between its opening and the clone into it.
    case cgroupRemoved(Errno)

    package var text: String {
        switch self {
        case .system(let error): "cannot spawn the Executor: " + error.text
        case .step(.oomScoreAdj, let errno):
            "cannot spawn the Executor: cannot set oom_score_adj to \(ExecutorProcess.oomScoreAdj): \(errno.text)"
        case .step(.descriptors, let errno):
            "cannot spawn the Executor: cannot hand over the Executor's descriptors: \(errno.text)"
        case .step(let stage, let errno): "cannot spawn the Executor: cannot \(stage.attempt): \(errno.text)"
        case .execute(let path, let errno): "cannot execute the Executor \(path): \(errno.text)"
        case .cgroupRemoved(let errno):
            "cannot clone a process into the Executors' cgroup: \(errno.text); it was removed "
                + "\(ExecutorCgroup.attempts) times just after it had been made: look for another program that removes it"
        }
    }

    /// Whether a shortage that may pass was the reason.
    package var isTransient: Bool {
        switch self {
        case .system(let error): StartError.mayPass(error.errno)
        case .step(_, let errno), .execute(_, let errno): StartError.mayPass(errno) || errno == .textFileBusy
        case .cgroupRemoved: true
        }
    }
}

extension ExecutorProcess {
    /// The Executor is the last that the kernel should kill for memory: its task goes first. Without
    /// CAP_SYS_RESOURCE, in a container, it stays as it is.
    fileprivate static let oomScoreAdj: StaticString = "-1000"

    /// Spawns an Executor as init of a new PID namespace, in a session and a cgroup of its own, with
    /// no descriptor of the agent's, and hands it the packed launch request in memory.
    ///
    /// - Parameters:
    ///   - attachment: What an attached task's Executor finds open beside the request.
    ///   - cgroup: An open cgroup v2 directory for the Executor itself; -1: stay in the Driver's.
    ///   - beforeRequest: Called with the Executor's pid before it has its request.
    static func spawn(
        path: String, request: [UInt8], attachment: LaunchSpecification.Attachment? = nil,
        template: RootTemplates.Template? = nil, cgroup: Int32, reactor: Reactor,
        beforeRequest: (@Sendable (Int32) -> Void)? = nil
    ) throws(SpawnError) -> ExecutorProcess {
        let descriptors: Handover
        do throws(SystemError) {
            descriptors = try Handover(beforeRequest == nil ? request : nil)
        } catch {
            throw .system(error)
        }
        let process = try spawn(
            path: path, steps(handing: places(descriptors, attachment, template)),
            namespaces: EXEC2_CLONE_NEWPID, cgroup: cgroup, reactor: reactor)
        if let beforeRequest {
            beforeRequest(process.pid)
            do throws(SystemError) {
                try handOver(request, descriptors.memory, descriptors.launchPipe)
            } catch {
                process.killAndReap(on: reactor)
                throw .system(error)
            }
        }
        return try process.identified(launchPipe: descriptors.launchPipe, reactor)
    }

    /// Reads the start time, by which the next driver tells the Executor from another process with its pid, as long as
    /// the pid cannot be another's. A task is not started without it: the next driver would not find it.
    private consuming func identified(
        launchPipe: consuming OwnedDescriptor?, _ reactor: Reactor
    ) throws(SpawnError) -> ExecutorProcess {
        let pid = pid
        let failure: SystemError
        do throws(SystemError) {
            if let time = try ProcessFacts.stat(of: pid).flatMap(ProcessFacts.startTime(in:)) {
                return ExecutorProcess(pid: pid, startTime: time, pidfd: pidfd, launchPipe: launchPipe)
            }
            failure = SystemError("read the start time in", "/proc/\(pid)/stat", .noSuchProcess)
        } catch {
            failure = error
        }
        killAndReap(on: reactor)
        throw .system(failure)
    }

    /// Spawns an Executor in the same way, but without a request: it waits in read(2) for one. It ends
    /// when the pipe's other end is closed, and so with the Driver at the latest.
    static func spawnAhead(
        path: String, template: RootTemplates.Template? = nil, rules: [UInt8] = [], cgroup: Int32, reactor: Reactor
    ) throws(SpawnError) -> WaitingExecutor {
        let descriptors: Handover
        do throws(SystemError) {
            descriptors = try Handover()
        } catch {
            throw .system(error)
        }
        let memory: OwnedDescriptor
        do throws(SystemError) {
            memory = try Self.memory(of: rules)
        } catch {
            throw .system(error)
        }
        let process = try spawn(
            path: path, steps(handing: places(descriptors, nil, template, rules: memory.number)),
            namespaces: EXEC2_CLONE_NEWPID, cgroup: cgroup, reactor: reactor)
        return WaitingExecutor(
            process: try process.identified(launchPipe: nil, reactor), memory: descriptors.memory,
            launchPipe: descriptors.launchPipe, isAttendant: false)
    }

    /// Spawns an attendant that waits for its command. Like an Executor that is spawned ahead, it ends when the Driver closes
    /// its end.
    static func spawnAttendantAhead(path: String, cgroup: Int32, reactor: Reactor) throws(SpawnError) -> WaitingExecutor
    {
        let descriptors: Handover
        do throws(SystemError) {
            descriptors = try Handover(socket: true)
        } catch {
            throw .system(error)
        }
        let process = try spawn(
            path: path, steps(handing: descriptors.places), namespaces: 0, cgroup: cgroup, reactor: reactor)
        return WaitingExecutor(
            process: process, memory: descriptors.memory, launchPipe: descriptors.launchPipe, isAttendant: true)
    }

    /// Without a gap: what is not given is /dev/null.
    private static func places(
        _ handover: borrowing Handover, _ attachment: LaunchSpecification.Attachment?,
        _ template: RootTemplates.Template?, rules: Int32? = nil
    ) -> [(number: Int32, place: Int32)] {
        let given =
            handover.places + (attachment?.places ?? [])
            + (template.map { [($0.namespaceNumber, TemplateDescriptor.namespace)] } ?? [])
            + (rules.map { [($0, TemplateDescriptor.rules)] } ?? [])
        let last = given.map(\.place).max() ?? 0
        return (0...last).map { place in given.first { $0.place == place } ?? (handover.null.number, place) }
    }

    private static func memory(of rules: [UInt8]) throws(SystemError) -> OwnedDescriptor {
        let number = exec2_memfd("exec2-rules")
        guard number >= 0 else { throw SystemError("make memory for", "the rules of every task") }
        let memory = try aboveStandard(OwnedDescriptor(owning: number))
        try rules.span.bytes.withUnsafeBytes { (bytes) throws(SystemError) in try memory.writeAll(bytes) }
        return memory
    }

    /// An Executor, or an attendant, that was spawned ahead, and the Driver's ends of what its request goes through.
    struct WaitingExecutor: ~Copyable, Sendable {
        let process: ExecutorProcess
        fileprivate let memory: OwnedDescriptor
        fileprivate let launchPipe: OwnedDescriptor

        fileprivate let isAttendant: Bool
        /// Whether it takes a request. An attendant says so once; one of an older release never does, and would lose the
        /// descriptors.
        var isReady: Bool { !isAttendant || exec2_is_told(launchPipe.number) == 1 }

        /// Hands it the packed launch request. Fails with EPIPE where it is gone.
        /// - Parameter descriptors: Of an attendant: what it is to have at `AttendantDescriptor`'s numbers.
        func begin(_ request: [UInt8], handing descriptors: [Int32] = []) throws(SystemError) {
            try ExecutorProcess.handOver(request, memory, launchPipe, descriptors)
        }

        /// The Executor, once it has its request.
        consuming func asLaunched() -> ExecutorProcess {
            ExecutorProcess(
                pid: process.pid, startTime: process.startTime, pidfd: process.pidfd, launchPipe: launchPipe)
        }
    }

    /// What an Executor finds open: /dev/null at 0 to 2, the pipe at 3, the memory at 4.
    package struct Handover: ~Copyable {
        let memory: OwnedDescriptor
        let pipe: OwnedDescriptor
        /// The Driver's end of the pipe.
        let launchPipe: OwnedDescriptor
        let null: OwnedDescriptor

        /// Each, and where the Executor finds it.
        package var places: [(number: Int32, place: Int32)] {
            [
                (null.number, 0), (null.number, 1), (null.number, 2), (pipe.number, 3),
                (memory.number, LaunchMemory.descriptor),
            ]
        }

        /// - Parameters:
        ///   - request: What is handed over at once; nil: nothing yet.
        ///   - socket: Whether the pipe is a socket, through which descriptors can be handed over too.
        package init(_ request: [UInt8]? = nil, socket: Bool = false) throws(SystemError) {
            let number = exec2_memfd("exec2-launch-request")
            guard number >= 0 else { throw SystemError("make memory for", "the launch request") }
            let memory = OwnedDescriptor(owning: number)
            var ends: [Int32] = [-1, -1]
            guard (socket ? exec2_socketpair(&ends) : exec2_pipe2(&ends, O_CLOEXEC)) == 0 else {
                throw SystemError("make", socket ? "a pair of sockets" : "a pipe")
            }
            let reading = OwnedDescriptor(owning: ends[0])
            let writing = OwnedDescriptor(owning: ends[1])
            if let request { try ExecutorProcess.handOver(request, memory, writing) }
            let highMemory = try aboveStandard(memory)
            let highReading = try aboveStandard(reading)
            let highNull = try aboveStandard(NullDevice.open())
            self.memory = highMemory
            pipe = highReading
            launchPipe = writing
            null = highNull
        }
    }

    /// The request goes to the memory, then its length to the pipe: the Executor reads that first.
    private static func handOver(
        _ request: [UInt8], _ memory: borrowing OwnedDescriptor, _ launchPipe: borrowing OwnedDescriptor,
        _ descriptors: [Int32] = []
    ) throws(SystemError) {
        do throws(SystemError) {
            try request.span.bytes.withUnsafeBytes { (bytes) throws(SystemError) in try memory.writeAll(bytes) }
        } catch {
            throw SystemError("write to memory", "the launch request of \(request.count) bytes", error.errno)
        }
        var length = UInt64(request.count)
        guard descriptors.isEmpty else {
            let number = launchPipe.number
            guard retrying({ exec2_send(number, &length, 8, descriptors, descriptors.count) }) == 0 else {
                throw SystemError("send descriptors to", "the attendant")
            }
            return
        }
        do throws(SystemError) {
            try withUnsafeBytes(of: &length) { (bytes) throws(SystemError) in try launchPipe.writeAll(bytes) }
        } catch {
            throw SystemError("write to", "the Executor's pipe", error.errno)
        }
    }

    /// Behind all numbers at which a child is given something.
    private static let firstFree: Int32 = 16

    /// The child puts its descriptors at 0 and the numbers behind it; what it takes them from must not stand
    /// there.
    package static func aboveStandard(_ descriptor: consuming OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        if descriptor.number >= firstFree { return descriptor }
        let number = exec2_duplicate(descriptor.number, firstFree)
        guard number >= 0 else { throw SystemError("duplicate", "a descriptor") }
        return OwnedDescriptor(owning: number)
    }

    /// What a program of the Executor's file does before execve.
    ///
    /// - Parameter descriptors: What it is to find open, from 0 on and without a gap.
    package static func steps(handing descriptors: [(number: Int32, place: Int32)]) -> [exec2_step] {
        func step(_ kind: exec2_step_kind, _ descriptor: Int32 = -1, _ number: UInt64 = 0) -> exec2_step {
            var step = exec2_step()
            step.kind = kind.rawValue
            step.fd = descriptor
            step.number = number
            return step
        }
        var workDir = step(EXEC2_STEP_WORK_DIR)
        workDir.path = UnsafeRawPointer(rootPath.utf8Start).assumingMemoryBound(to: CChar.self)
        var adjustment = step(EXEC2_STEP_OOM_SCORE_ADJ)
        adjustment.optional = 1
        adjustment.text = UnsafeRawPointer(oomScoreAdj.utf8Start).assumingMemoryBound(to: CChar.self)
        var descriptorLimit = step(EXEC2_STEP_RESOURCE_LIMIT, -1, UInt64(RLIMIT_NOFILE.rawValue))
        descriptorLimit.soft = UInt64(DescriptorLimit.inherited.rlim_cur)
        descriptorLimit.hard = UInt64(DescriptorLimit.inherited.rlim_max)
        return [step(EXEC2_STEP_SESSION), adjustment, workDir, descriptorLimit]
            + descriptors.map { step(EXEC2_STEP_DESCRIPTOR, $0.number, UInt64($0.place)) } + [
                step(EXEC2_STEP_CLOSE, -1, UInt64(descriptors.count)), step(EXEC2_STEP_UMASK, -1, 0o077),
                step(EXEC2_STEP_SIGNALS),
            ]
    }

    private static let rootPath: StaticString = "/"

    /// - Parameters:
    ///   - steps: See `steps(handing:)`.
    ///   - namespaces: CLONE_NEW* flags (clone(2)).
    ///   - reactor: Reaps a process that did not come to execve.
    package static func spawn(
        path: String, _ steps: [exec2_step], namespaces: UInt64, cgroup: Int32, reactor: Reactor
    ) throws(SpawnError) -> ExecutorProcess {
        guard steps.allSatisfy({ $0.fd < 0 || $0.kind == EXEC2_STEP_DESCRIPTOR.rawValue }),
            let low = LowDescriptors.shared.lend(Set(steps.lazy.map(\.fd).filter { $0 >= 0 }))
        else { return try clone(path: path, steps, namespaces, cgroup: cgroup, reactor) }
        // Before all others: until then its descriptors are this process's own.
        var unshare = exec2_step()
        unshare.kind = EXEC2_STEP_CLOSE.rawValue
        unshare.fd = -1
        unshare.number = UInt64(LowDescriptors.shared.end)
        unshare.flags = UInt32(EXEC2_CLOSE_RANGE_UNSHARE)
        let numbers = low.numbers
        let moved = steps.map { step in
            var step = step
            step.fd = numbers[step.fd] ?? -1
            return step
        }
        let process = try clone(
            path: path, [unshare] + moved, namespaces | EXEC2_CLONE_FILES, cgroup: cgroup, reactor)
        _ = consume low
        return process
    }

    private static func clone(
        path: String, _ steps: [exec2_step], _ flags: UInt64, cgroup: Int32, _ reactor: Reactor
    ) throws(SpawnError) -> ExecutorProcess {
        var plan = exec2_plan()
        var pidfd: Int32 = -1
        let pid = ByteText.withPath(path) { program in
            let programs: [UnsafePointer<CChar>?] = [program, nil]
            let arguments: [UnsafeMutablePointer<CChar>?] = [UnsafeMutablePointer(mutating: program), nil]
            let environment: [UnsafeMutablePointer<CChar>?] = [nil]
            return steps.withUnsafeBufferPointer { steps in
                programs.withUnsafeBufferPointer { programs in
                    arguments.withUnsafeBufferPointer { arguments in
                        environment.withUnsafeBufferPointer { environment in
                            plan.steps = steps.baseAddress
                            plan.step_count = steps.count
                            plan.programs = programs.baseAddress
                            plan.arguments = arguments.baseAddress
                            plan.environment = environment.baseAddress
                            return exec2_clone(&plan, flags, cgroup, &pidfd)
                        }
                    }
                }
            }
        }
        guard pid > 0 else {
            let errno = Errno(rawValue: -pid)
            // Nothing else that clone(2) is given here has a name; ENODEV is of a cgroup that is just going.
            if cgroup >= 0 && (errno == .noSuchFile || errno.rawValue == ENODEV) { throw .cgroupRemoved(errno) }
            throw .system(SystemError("clone", "a process", errno))
        }
        let process = ExecutorProcess(pid: pid, startTime: 0, pidfd: OwnedDescriptor(owning: pidfd))
        guard plan.failed_step < 0, plan.exec_errno == 0 else {
            process.killAndReap(on: reactor)
            if plan.failed_step >= 0 {
                let stage = LaunchStage(rawValue: steps[Int(plan.failed_step)].kind) ?? .clone
                throw .step(stage, Errno(rawValue: plan.step_errno))
            }
            throw .execute(path: path, Errno(rawValue: plan.exec_errno))
        }
        return process
    }
}
