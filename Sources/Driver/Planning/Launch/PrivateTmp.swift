import Shared

/// A task whose `/tmp` is its own `tmp` directory: nothing of the host's is there.
enum PrivateTmp {
    static let path = "/tmp"

    /// What is behind `/tmp/` in a path, "" for that itself; nil for any other path.
    static func inside(_ path: String) -> String? {
        let parts = path.pathComponents.filter { $0 != "." }
        guard parts.first == "tmp", !parts.contains("..") else { return nil }
        return parts.dropFirst().joined(separator: "/")
    }

    /// Rules for what is below `/tmp` are for the task's own files there, which a program of its has made: no symlink
    /// among them leads a rule elsewhere. The operator's name paths of the host's, and are no error.
    static func rules(_ rules: [LaunchSpecification.Unveil]) -> [LaunchSpecification.Unveil] {
        rules.map { unveil in
            guard unveil.beneath == nil, let inside = inside(unveil.rule.path), !inside.isEmpty else { return unveil }
            return LaunchSpecification.Unveil(
                rule: UnveilRule(modes: unveil.rule.modes, path: path + "/" + inside),
                optional: unveil.origin == LaunchPlanning.operatorsRules || unveil.optional,
                noSymlink: unveil.noSymlink, afterMounts: unveil.afterMounts,
                beneath: unveil.noSymlink ? nil : path, origin: unveil.origin)
        }
    }
}

extension LaunchPlanning {
    /// The directory of a log is read-only for its task: one in the task's `tmp` would be found at `/tmp` as well.
    func checkPrivateTmp(_ options: RootOptions, _ request: TaskRequest) throws(StartError) {
        guard options.privateTmp else { return }
        let tmp = request.allocDir.pathComponents + [Substring(request.name), "tmp"]
        for path in [request.stdoutPath, request.stderrPath]
        where path.pathComponents.filter({ $0 != "." }).starts(with: tmp) {
            throw StartError(
                .permanent,
                "cannot make the task's private /tmp: its log \(quoted(path)) is in the task's tmp directory, where the task "
                    + "must not write to it; leave private_tmp out")
        }
    }

    /// Rules for what a task has by its own options.
    func rules(_ options: RootOptions) -> [LaunchSpecification.Unveil] {
        var rules: [UnveilRule] = []
        if options.privateTmp { rules.append(UnveilRule(modes: .all, path: PrivateTmp.path)) }
        if options.userFiles { rules += UserFiles.paths.map { UnveilRule(modes: .read, path: $0) } }
        if options.sharedMemoryBytes != nil && !configuration.unveilDefaults { rules.append(Self.sharedMemoryRule) }
        return rules.map { .init(rule: $0) }
    }

    static let sharedMemoryRule = UnveilRule(modes: [.read, .write, .create], path: "/dev/shm")
}
