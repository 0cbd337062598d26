import CLinux
import CMessages
import SharedEmbedded

/// The steps of a command in a running task.
extension LaunchPlan {
    struct Session {
        /// Pidfds of the task's main process and of the attendant.
        let task: Int32
        let attendant: Int32
        let hasTerminal: Bool
    }

    /// The plan of a command in the namespaces of a running task, with all else that the task's main process
    /// has.
    ///
    /// Its rules must mean what the task's did, which were opened when no volume was there yet. So they are
    /// opened as the host sees them, before the task's mounts are entered, but for what only these show: the
    /// task's own /proc, and the files that were made for it, which are known by their content. A rule whose path
    /// does not exist any more is skipped.
    init(_ request: LaunchRequest.Message, ruleset: Ruleset, session: Session) {
        self.init(request, namespaces: 0)
        add(.session)
        // Through the host's /proc, as at a launch.
        add(.oomScoreAdjustment())
        for stream in STDIN_FILENO...STDERR_FILENO {
            add(.descriptor(AttendantDescriptor.stdin + stream, becomes: stream))
        }
        if session.hasTerminal { add(.terminal(STDIN_FILENO)) }
        let sharesRuleset = request.root != nil
        if !sharesRuleset { addRules(ruleset, .host) }
        let network = request.network_namespace.map { $0.isEmpty } ?? true ? 0 : EXEC2_CLONE_NEWNET
        add(
            .join(
                session.task, EXEC2_CLONE_NEWNS | EXEC2_CLONE_NEWIPC | network, subject: request.task_id))
        if !sharesRuleset {
            addRules(ruleset, .task)
            addGeneratedFiles(ruleset)
            addQuietPaths(ruleset)
        }
        addIdentity()
        // Behind the change of the user, which takes the signal away again (prctl(2)).
        add(.dieWithParent(session.attendant))
        addConfinement(ruleset)
    }

    private enum View {
        case host, task
    }

    private mutating func addRules(_ ruleset: Ruleset, _ view: View) {
        // Mounted in the client's stead, the task's own directories are in its view alone. No volume can be in their
        // way there, and no symlink is followed.
        let ownView = ((try? TaskDirectories.areMissing(request)) ?? false) ? View.task : .host
        for index in 0..<request.n_unveil {
            guard let unveil = request.unveil[index]?.pointee else { continue }
            if unveil.after_mounts != 0 {
                if view == .task { addSessionRule(unveil, ruleset) }
            } else if isOnProc(unveil.path) {
                if view == .task { addSessionRule(unveil, ruleset, flags: EXEC2_UNVEIL_ONLY_PROC) }
            } else if view == (unveil.no_symlink != 0 ? ownView : .host) {
                addSessionRule(unveil, ruleset)
            }
        }
    }

    /// Nothing that a path has become since the launch, a loop of symlinks say, keeps a command from being run. What is
    /// left out for it is told.
    private mutating func addSessionRule(
        _ unveil: Exec2__Executor__UnveilPath, _ ruleset: Ruleset, flags: Int32 = 0
    ) {
        addRule(unveil, ruleset, flags: flags | EXEC2_UNVEIL_ANY_FAILURE, optional: true)
    }

    private func isOnProc(_ path: UnsafeMutablePointer<CChar>?) -> Bool {
        guard let path else { return false }
        let number = exec2_open(path, EXEC2_O_PATH | O_CLOEXEC, 0)
        guard number >= 0 else { return false }
        defer { _ = close(number) }
        return exec2_is_proc(number) == 1
    }

    /// A file of the task's own is under the rules for the path that it stands at.
    private mutating func addGeneratedFiles(_ ruleset: Ruleset) {
        for index in 0..<request.n_generated_files {
            guard let file = request.generated_files[index]?.pointee else { continue }
            for number in 0..<request.n_unveil {
                guard let unveil = request.unveil[number]?.pointee, strcmp(unveil.path, file.path) == 0 else {
                    continue
                }
                add(
                    .unveil(
                        unveil.path, unveil.modes, in: ruleset, content: file.content.data, count: file.content.len))
            }
        }
    }
}

extension Ruleset {
    /// Adds the rules of the task's volumes and devices. One that is not there any more has none.
    func addSources(of request: LaunchRequest.Message) throws(LaunchFailure) {
        for index in 0..<request.n_mounts {
            guard let mount = request.mounts[index]?.pointee else { continue }
            let descriptor = exec2_open(mount.source, EXEC2_O_PATH | O_CLOEXEC, 0)
            guard descriptor >= 0 else { continue }
            defer { _ = close(descriptor) }
            var facts = exec2_file_facts()
            guard exec2_fstat(descriptor, &facts) == 0,
                add(mount.modes, on: facts.type == EXEC2_FILE_DIRECTORY ? .directory : .file, of: descriptor)
            else { throw LaunchFailure(.mountRule, mount.source) }
        }
    }
}
