import CLinux
import CMessages
import SharedEmbedded

/// A ruleset that a standby Executor has made before its request, with the rules that every task of a plugin's
/// configuration has.
///
/// Each rule's path is opened in the root that the task will have. Rules whose path cannot be opened are left to the
/// launch, which also reports why.
struct RulesAhead {
    /// A launch request in which only the fields are set that are the same for every task.
    private let message: UnsafeMutablePointer<LaunchRequest.Message>
    private let ruleset: Ruleset
    /// Nil if the Driver has not said what tasks' roots have.
    let root: RootAhead?
    /// One for each rule of `message`.
    private let outcomes: [Outcome]

    fileprivate enum Outcome {
        case added
        /// The root has no such path.
        case absent
        case failed
    }

    /// Nil if the Driver has passed no rules, or if the template cannot be entered.
    static func make() -> RulesAhead? {
        let memory = TemplateDescriptor.rules
        let size = lseek(memory, 0, SEEK_END)
        guard size > 0 else { return nil }
        // The descriptors between these two are /dev/null.
        defer { for number in TemplateDescriptor.terminals + 1...memory { _ = close(number) } }
        guard let message = LaunchRequest.unpack(memory, size: Int(size)),
            let ruleset = try? Ruleset.create(message.pointee)
        else { return nil }
        var outcomes: [Outcome] = []
        var root: RootAhead?
        let hasEntered = inTemplate { proc in
            // A Driver of an earlier release does not say what its tasks' roots have.
            guard let wanted = message.pointee.root?.pointee else { return }
            // An Executor without a request cannot report why this failed. It ends, and the next start makes its own.
            guard let made = try? RootAhead.make(wanted, proc: proc) else { exit(ExecutorExit.launchFailed) }
            root = made
            for index in 0..<message.pointee.n_unveil {
                outcomes.append(message.pointee.unveil[index].map { ruleset.addAhead($0.pointee) } ?? .failed)
            }
        }
        guard hasEntered else { return nil }
        return RulesAhead(message: message, ruleset: ruleset, root: root, outcomes: outcomes)
    }

    /// Runs `work` in the template's mount namespace, with an open /proc that shows this process. False if the
    /// namespace cannot be entered.
    private static func inTemplate(_ work: (_ proc: Int32) -> Void) -> Bool {
        let proc = exec2_open("/proc", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        let own = exec2_openat(proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        defer { for number in [proc, own, root] where number >= 0 { _ = close(number) } }
        guard own >= 0, root >= 0 else { return false }
        guard exec2_setns(TemplateDescriptor.namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else { return false }
        work(proc)
        // A process that is left in the template cannot launch a task.
        guard exec2_enter_mounts(own, root) == 0 else { exit(ExecutorExit.launchFailed) }
        return true
    }

    /// The ruleset. Nil, and closed, if the request has other options or lacks one of its rules.
    func ruleset(for request: LaunchRequest.Message) -> Ruleset? {
        let own = message.pointee
        let restricts =
            request.restrict_tcp_bind | request.restrict_tcp_connect | request.restrict_udp_bind
            | request.restrict_udp_connect
        guard restricts == 0, own.scope_abstract_sockets == request.scope_abstract_sockets,
            own.open_pathname_sockets == request.open_pathname_sockets, own.log_denials == request.log_denials,
            (own.n_quiet_paths > 0) == (request.n_quiet_paths > 0), hasAllRules(request)
        else {
            _ = close(ruleset.number)
            return nil
        }
        return ruleset
    }

    /// Whether a request has every rule of `message`; any other would allow its task more. A request may lack a rule if
    /// the plugin was configured anew while this process was being spawned, or if the task has a /tmp of its own.
    private func hasAllRules(_ request: LaunchRequest.Message) -> Bool {
        var next = 0
        for index in 0..<request.n_unveil where next < message.pointee.n_unveil {
            guard let rule = request.unveil[index]?.pointee, let own = message.pointee.unveil[next]?.pointee else {
                return false
            }
            if Self.isSame(own, rule) { next += 1 }
        }
        return next == message.pointee.n_unveil
    }

    /// For each rule of a request, whether the launch can skip it: it is in the ruleset already, or it is optional and
    /// its path does not exist. Only for a task that gets `root`. The rules have the same order in both lists.
    ///
    /// - Parameter streams: The task's stdin, stdout and stderr. The rules for these are added here, by descriptor.
    func covered(of request: LaunchRequest.Message, streams: [Int32]) -> [Bool] {
        var next = 0
        return (0..<request.n_unveil).map { index in
            guard let rule = request.unveil[index]?.pointee else { return false }
            for candidate in next..<message.pointee.n_unveil {
                guard let own = message.pointee.unveil[candidate]?.pointee, Self.isSame(own, rule) else { continue }
                next = candidate + 1
                return outcomes[candidate] == .added || outcomes[candidate] == .absent && rule.optional != 0
            }
            guard request.attachment == nil, let stream = LaunchPlan.stream(rule.path) else { return false }
            return ruleset.add(rule.modes, on: .file, of: streams[stream])
        }
    }

    /// Frees the message. Descriptors stay open.
    func release() { exec2__executor__launch_request__free_unpacked(message, nil) }

    private static func isSame(_ left: Exec2__Executor__UnveilPath, _ right: Exec2__Executor__UnveilPath) -> Bool {
        left.modes == right.modes && strcmp(left.path, right.path) == 0 && right.no_symlink == 0
            && right.after_mounts == 0 && right.beneath.isEmpty && right.keeps_directories == 0
    }
}

extension Ruleset {
    fileprivate func addAhead(_ unveil: Exec2__Executor__UnveilPath) -> RulesAhead.Outcome {
        let found = exec2_open_no_magic_links(unveil.path)
        guard found >= 0 else { return Errno.last == .noSuchFile ? .absent : .failed }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0 else { return .failed }
        // Below /proc, a path such as /proc/self leads to a different object for each process: only the task's own
        // child can open it. The root of /proc has inode 1.
        guard exec2_is_proc(found) == 0 || facts.inode == 1 else { return .failed }
        let kind: LandlockRights.PathKind = facts.type == EXEC2_FILE_DIRECTORY ? .directory : .file
        return add(unveil.modes, on: kind, of: found) ? .added : .failed
    }
}
