import CLinux
import CMessages
import SharedEmbedded

/// A ruleset with the rules that every task of a plugin's configuration has, made by a standby Executor before its
/// request.
///
/// Each rule's path is opened in the template. It leads to the same object there as in the task's root, except for what
/// a task has of its own. Rules for that, and rules whose path cannot be opened, are left to the launch, which also
/// reports why.
struct RulesAhead {
    /// A launch request of which only the rules and the options of the ruleset are set.
    private let message: UnsafeMutablePointer<LaunchRequest.Message>
    private let ruleset: Ruleset
    /// For each rule of `message`, whether it is in the ruleset.
    private let isAdded: [Bool]

    /// Nil if the Driver has passed no rules, or if the template cannot be entered.
    static func make() -> RulesAhead? {
        let memory = TemplateDescriptor.rules
        let size = lseek(memory, 0, SEEK_END)
        guard size > 0 else { return nil }
        // The numbers between are /dev/null.
        defer { for number in TemplateDescriptor.terminals + 1...memory { _ = close(number) } }
        guard let message = LaunchRequest.unpack(memory, size: Int(size)),
            let ruleset = try? Ruleset.create(message.pointee)
        else { return nil }
        var isAdded: [Bool] = []
        let isBack = inTemplate {
            for index in 0..<message.pointee.n_unveil {
                isAdded.append(message.pointee.unveil[index].map { ruleset.addAhead($0.pointee) } ?? false)
            }
        }
        guard isBack else { return nil }
        return RulesAhead(message: message, ruleset: ruleset, isAdded: isAdded)
    }

    /// Runs `work` in the template's mount namespace. False if that cannot be entered.
    private static func inTemplate(_ work: () -> Void) -> Bool {
        let own = exec2_open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        let root = exec2_open("/", EXEC2_O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
        defer { for number in [own, root] where number >= 0 { _ = close(number) } }
        guard own >= 0, root >= 0 else { return false }
        guard exec2_setns(TemplateDescriptor.namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else { return false }
        work()
        // A process that is left in the template cannot launch a task.
        guard exec2_enter_mounts(own, root) == 0 else { exit(ExecutorExit.launchFailed) }
        return true
    }

    /// The ruleset; nil if the request needs one with other options.
    func ruleset(for request: LaunchRequest.Message) -> Ruleset? {
        let own = message.pointee
        let restricts =
            request.restrict_tcp_bind | request.restrict_tcp_connect | request.restrict_udp_bind
            | request.restrict_udp_connect
        guard restricts == 0, own.scope_abstract_sockets == request.scope_abstract_sockets,
            own.open_pathname_sockets == request.open_pathname_sockets, own.log_denials == request.log_denials,
            (own.n_quiet_paths > 0) == (request.n_quiet_paths > 0)
        else { return nil }
        return ruleset
    }

    /// For each rule of the request, whether it is in the ruleset already. Both lists have the same order.
    func covered(of request: LaunchRequest.Message) -> [Bool] {
        var next = 0
        return (0..<request.n_unveil).map { index in
            guard let rule = request.unveil[index]?.pointee else { return false }
            for candidate in next..<message.pointee.n_unveil {
                guard let own = message.pointee.unveil[candidate]?.pointee, Self.isSame(own, rule) else { continue }
                next = candidate + 1
                return isAdded[candidate]
            }
            return false
        }
    }

    private static func isSame(_ left: Exec2__Executor__UnveilPath, _ right: Exec2__Executor__UnveilPath) -> Bool {
        left.modes == right.modes && strcmp(left.path, right.path) == 0 && right.no_symlink == 0
            && right.after_mounts == 0 && right.beneath.isEmpty && right.keeps_directories == 0
    }
}

extension Ruleset {
    /// False if the path does not exist in the template, or is on a file system in memory, as everything is that a task
    /// has of its own.
    fileprivate func addAhead(_ unveil: Exec2__Executor__UnveilPath) -> Bool {
        let found = exec2_open(unveil.path, EXEC2_O_PATH | O_CLOEXEC, 0)
        guard found >= 0 else { return false }
        defer { _ = close(found) }
        var facts = exec2_file_facts()
        guard exec2_fstat(found, &facts) == 0, exec2_is_in_memory(found) == 0
        else { return false }
        return add(unveil.modes, on: facts.type == EXEC2_FILE_DIRECTORY ? .directory : .file, of: found)
    }
}
