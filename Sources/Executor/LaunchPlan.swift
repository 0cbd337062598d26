import CLinux
import CMessages
import SharedEmbedded

/// The child's steps between clone and execve, in the order in which they are possible.
struct LaunchPlan {
    var steps: [exec2_step] = []
    let request: LaunchRequest.Message
    private let namespaces: UInt64
    /// For each rule, whether the ruleset has it already; nil: none.
    private var covered: [Bool]?

    /// An empty plan, for a child in such namespaces of its own (clone(2), CLONE_NEW*).
    init(_ request: LaunchRequest.Message, namespaces: UInt64) {
        self.request = request
        self.namespaces = namespaces
    }

    /// The plan of a task's main process.
    /// - Parameters:
    ///   - covered: For each of the request's rules, whether the ruleset has it already; nil: none.
    ///   - ownsIPC: Whether the Executor's IPC namespace is good for the task.
    ///   - hostProc: The host's /proc, where this process is in the task's root already; else -1.
    init(
        _ request: LaunchRequest.Message, covered: [Bool]?, ownsIPC: Bool, ruleset: Ruleset, mounts: TaskMounts,
        network: Int32, stdout: LogStream, stderr: LogStream, hostProc: Int32 = -1
    ) {
        // In a root of its own the task is in the Executor's mount namespace, which nobody else is in.
        let mountNamespace = request.root == nil ? EXEC2_CLONE_NEWNS : 0
        self.init(request, namespaces: mountNamespace | (ownsIPC ? 0 : EXEC2_CLONE_NEWIPC))
        self.covered = covered
        add(.session)
        // Lowered from the Executor's own −1000 while there is still the right to do so, and through the Executor's
        // /proc: the task's own may be read-only.
        add(.oomScoreAdjustment(in: hostProc))
        // In a root of its own the Executor is in the task's network too.
        if network >= 0 && request.root == nil { add(.network(network, path: request.network_namespace)) }
        addMounts(mounts)
        add(.descriptor(stdout.forTask, becomes: STDOUT_FILENO))
        add(.descriptor(stderr.forTask, becomes: STDERR_FILENO))
        addAttachedStreams()
        // Only now do /dev/stdout, /proc/self and whatever leads there mean the task's.
        addRules(ruleset, afterMounts: false)
        addVolumes(mounts)
        addRules(ruleset, afterMounts: true)
        addQuietPaths(ruleset)
        addIdentity()
        addConfinement(ruleset)
    }

    /// The last steps: nothing is opened behind them but the working directory, where nothing of this process is open any
    /// more that a path could lead to.
    mutating func addConfinement(_ ruleset: Ruleset) {
        let place = STDERR_FILENO + 1
        if ruleset.number != place { add(.descriptor(ruleset.number, becomes: place)) }
        add(.close(from: place + 1))
        addWorkDir()
        addDescriptorLimit()
        add(.noNewPrivileges)
        add(.restrict(ruleset, at: place))
        // The Executor blocks SIGCHLD, and has changed no disposition.
        add(.signalMask)
        add(.umask(0o022))
        addSeccompFilter()
        add(.close(from: place))
    }

    mutating func add(_ step: exec2_step) { steps.append(step) }

    private mutating func addAttachedStreams() {
        guard let attachment = request.attachment?.pointee else { return }
        let isTerminal = attachment.terminal != 0
        for stream in STDIN_FILENO...(isTerminal ? STDERR_FILENO : STDIN_FILENO) {
            add(.descriptor(AttachmentDescriptor.stdin, becomes: stream))
        }
        if isTerminal { add(.terminal(STDIN_FILENO)) }
    }

    private mutating func addMounts(_ mounts: TaskMounts) {
        if request.root != nil {
            for file in mounts.files { add(.generatedFile(file.descriptor, at: file.path)) }
            return
        }
        add(.mountsAsSlave)
        // Before anything is below them: rules, read-only directories, volumes.
        for directory in mounts.directories {
            add(.mount(directory, user: request.user_id, group: request.group_id))
        }
        for file in mounts.files { add(.generatedFile(file.descriptor, at: file.path)) }
        add(.proc)
        addReadOnly()
    }

    private mutating func addReadOnly() {
        for index in 0..<request.n_read_only {
            guard let directory = request.read_only[index]?.pointee else { continue }
            add(.readOnly(directory.inside, below: directory.root))
        }
    }

    private mutating func addVolumes(_ mounts: TaskMounts) {
        for volume in mounts.volumes {
            add(.mount(volume, user: request.user_id, group: request.group_id))
        }
    }

    /// Where it is below the task's own directory, it must not lead out of that.
    private mutating func addWorkDir() {
        if request.work_dir_root.isEmpty {
            add(.workDirectory(request.work_dir))
        } else {
            add(.workDirectory(request.work_dir, beneath: request.work_dir_root))
        }
    }

    /// - Parameter afterMounts: Which rules: those of the job are opened when its volumes are there. The others
    ///   would let a symlink in a volume choose what they mean.
    private mutating func addRules(_ ruleset: Ruleset, afterMounts: Bool) {
        for index in 0..<request.n_unveil {
            guard let unveil = request.unveil[index]?.pointee else { continue }
            guard (unveil.after_mounts != 0) == afterMounts, covered?[index] != true else { continue }
            addRule(unveil, ruleset, optional: unveil.optional != 0)
        }
    }

    /// Denials below these are not logged, where the kernel can tell them apart.
    mutating func addQuietPaths(_ ruleset: Ruleset) {
        guard ruleset.takesQuietPaths else { return }
        for index in 0..<request.n_quiet_paths { add(.quiet(request.quiet_paths[index], in: ruleset)) }
    }

    /// - Parameter flags: EXEC2_UNVEIL_*, beside those of the rule itself.
    mutating func addRule(
        _ unveil: Exec2__Executor__UnveilPath, _ ruleset: Ruleset, flags: Int32 = 0, optional: Bool
    ) {
        let flags =
            flags | (unveil.no_symlink != 0 ? EXEC2_UNVEIL_NO_SYMLINK : 0)
            | (Self.stream(unveil.path) != nil ? EXEC2_UNVEIL_STREAM : 0)
        add(
            .unveil(
                unveil.path, unveil.modes, in: ruleset, beneath: unveil.beneath.isEmpty ? nil : unveil.beneath,
                keepsDirectories: unveil.keeps_directories != 0, flags: flags, optional: optional))
    }

    /// The number of the standard stream that a path leads to; nil if it leads to none.
    static func stream(_ path: UnsafePointer<CChar>?) -> Int? {
        guard let path else { return nil }
        let streams: [StaticString] = [
            "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2",
        ]
        return streams.firstIndex { strcmp(path, RootTree.pointer($0)) == 0 }.map { $0 % 3 }
    }

    mutating func addIdentity() {
        addResourceLimits()
        add(.groups(request.groups, count: request.n_groups))
        add(.groupID(request.group_id))
        addUserAndCapabilities()
    }

    /// Clones the task's main process; returns its pid in the Executor's namespace, its pidfd, and how
    /// execve fared.
    mutating func run(cgroup: Int32) throws(LaunchFailure) -> MainProcess {
        var programs = terminated(request.programs, request.n_programs)
        var arguments = terminated(request.arguments, request.n_arguments)
        var environment = terminated(request.environment, request.n_environment)
        let adjustment = copy(of: String(request.oom_score_adj))
        defer { free(adjustment) }
        guard let adjustment else { throw LaunchFailure(.oomScoreAdj, .outOfMemory) }
        for index in steps.indices where steps[index].kind == EXEC2_STEP_OOM_SCORE_ADJ.rawValue {
            steps[index].text = UnsafePointer(adjustment)
        }

        var plan = exec2_plan()
        var pidfd: Int32 = -1
        var passedOver = [Int32](repeating: 0, count: steps.count)
        let pid = steps.withUnsafeBufferPointer { stepBuffer in
            programs.withUnsafeMutableBufferPointer { programBuffer in
                arguments.withUnsafeMutableBufferPointer { argumentBuffer in
                    environment.withUnsafeMutableBufferPointer { environmentBuffer in
                        plan.steps = stepBuffer.baseAddress
                        plan.step_count = stepBuffer.count
                        plan.programs = UnsafeRawPointer(programBuffer.baseAddress)?
                            .assumingMemoryBound(to: UnsafePointer<CChar>?.self)
                        plan.arguments = UnsafePointer(argumentBuffer.baseAddress)
                        plan.environment = UnsafePointer(environmentBuffer.baseAddress)
                        return passedOver.withUnsafeMutableBufferPointer { passedOver in
                            plan.passed_over = passedOver.baseAddress
                            return exec2_clone(&plan, namespaces, cgroup, &pidfd)
                        }
                    }
                }
            }
        }
        guard pid > 0 else {
            let subject = cgroup >= 0 ? "into " + String(cString: request.cgroup) : ""
            throw LaunchFailure(.clone, Errno(rawValue: -pid), subject)
        }
        if plan.failed_step >= 0 {
            _ = retrying { waitpid(pid, nil, 0) }
            _ = close(pidfd)
            throw failure(of: steps[Int(plan.failed_step)], Errno(rawValue: plan.step_errno))
        }
        return MainProcess(
            pid: pid, pidfd: pidfd, startedAt: plan.started_seconds * 1_000_000_000 + plan.started_nanoseconds,
            execError: plan.exec_errno == 0 ? nil : Errno(rawValue: plan.exec_errno),
            program: program(plan), passedOver: text(ofPassedOver: passedOver))
    }

    /// The rules that were left out, and why: `/etc/hosts: Too many levels of symbolic links; …`.
    private func text(ofPassedOver errors: [Int32]) -> String {
        var text = ""
        for index in errors.indices where errors[index] != 0 {
            guard let path = steps[index].path else { continue }
            if !text.utf8.isEmpty { text += "; " }
            text += String(cString: path) + ": " + Errno(rawValue: errors[index]).text
        }
        return text
    }

    /// What could not be run: the command as the job wrote it where nothing was found, else the file.
    private func program(_ plan: exec2_plan) -> String {
        let index = Int(plan.exec_program)
        let text: UnsafeMutablePointer<CChar>?
        switch plan.exec_errno {
        case 0: return ""
        case ENOENT: text = request.n_arguments > 0 ? request.arguments[0] : nil
        default: text = index < request.n_programs ? request.programs[index] : nil
        }
        return text.map { String(cString: $0) } ?? ""
    }

    private func failure(of step: exec2_step, _ errno: Errno) -> LaunchFailure {
        let stage = LaunchStage(rawValue: step.kind) ?? .supervision
        let subject: String
        switch stage {
        case .userID, .groups: subject = String(request.user_id)
        case .groupID: subject = String(request.group_id)
        case .oomScoreAdj: subject = String(request.oom_score_adj)
        case .resourceLimit: subject = Self.text(ofLimit: step)
        case .readOnlyDirectory, .mount: subject = Self.path(step.path, step.text)
        case .workDir where step.text != nil: subject = Self.path(step.path, step.text)
        default: subject = step.path.map { String(cString: $0) } ?? ""
        }
        return LaunchFailure(stage, errno, subject)
    }

    private static func path(_ directory: UnsafePointer<CChar>, _ inside: UnsafePointer<CChar>) -> String {
        let isRoot = directory[0] == CChar(bitPattern: UInt8(ascii: "/")) && directory[1] == 0
        return (isRoot ? "" : String(cString: directory)) + "/" + String(cString: inside)
    }
}

/// The task's first process, just cloned.
struct MainProcess {
    /// In the Executor's PID namespace.
    let pid: pid_t
    let pidfd: Int32
    /// Nanoseconds since the epoch.
    let startedAt: Int64
    /// Why no program could be run, and which one that speaks of.
    let execError: Errno?
    let program: String
    /// Rules that could not be opened; "": none.
    let passedOver: String
}

/// A NULL-terminated copy of a repeated string field.
private func terminated(
    _ strings: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ count: Int
) -> [UnsafeMutablePointer<CChar>?] {
    var result: [UnsafeMutablePointer<CChar>?] = []
    result.reserveCapacity(count + 1)
    for index in 0..<count { result.append(strings?[index]) }
    result.append(nil)
    return result
}

/// A NUL-terminated copy from malloc.
private func copy(of text: String) -> UnsafeMutablePointer<CChar>? {
    var text = text
    return text.withUTF8 { bytes in
        let start = malloc(bytes.count + 1)?.assumingMemoryBound(to: CChar.self)
        guard let start, let source = bytes.baseAddress else { return start }
        memcpy(start, source, bytes.count)
        start[bytes.count] = 0
        return start
    }
}
