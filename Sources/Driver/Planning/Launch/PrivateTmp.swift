import Shared

/// A task whose `/tmp` is its own `tmp` directory instead of the host's `/tmp`.
enum PrivateTmp {
    static let path = "/tmp"

    /// The path relative to `/tmp`, "" for `/tmp` itself; nil for a path that is not at or below it.
    static func inside(_ path: String) -> String? {
        let parts = path.pathComponents.filter { $0 != "." }
        guard parts.first == "tmp", !parts.contains("..") else { return nil }
        return parts.dropFirst().joined(separator: "/")
    }

    /// Makes rules for paths below `/tmp` apply to the task's own files there, without following symlinks out of it,
    /// since the task's programs may have made some. Rules of the operator become optional: they are meant for the
    /// host's files.
    static func rules(_ rules: [LaunchSpecification.Unveil]) -> [LaunchSpecification.Unveil] {
        rules.map { unveil in
            guard unveil.beneath == nil, let inside = inside(unveil.rule.path), !inside.isEmpty else { return unveil }
            return LaunchSpecification.Unveil(
                rule: UnveilRule(
                    modes: unveil.rule.modes, path: path + "/" + inside, isOptional: unveil.rule.isOptional),
                optional: unveil.origin == LaunchPlanning.operatorsRules || unveil.optional,
                noSymlink: unveil.noSymlink, afterMounts: unveil.afterMounts,
                beneath: unveil.noSymlink ? nil : path, origin: unveil.origin)
        }
    }
}

extension LaunchPlanning {
    /// Refuses a log in the task's `tmp` directory: a log's directory must be read-only for the task, and this one
    /// would be writable at `/tmp`.
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

    /// The rules that the task's root options add.
    func rules(_ options: RootOptions) -> [LaunchSpecification.Unveil] {
        var rules: [UnveilRule] = []
        if options.privateTmp { rules.append(UnveilRule(modes: .all, path: PrivateTmp.path)) }
        if options.userFiles { rules += UserFiles.paths.map { UnveilRule(modes: .read, path: $0) } }
        if options.sharedMemoryBytes != nil && !configuration.unveilDefaults { rules.append(Self.sharedMemoryRule) }
        return rules.map { .init(rule: $0) }
    }

    static let sharedMemoryRule = UnveilRule(modes: [.read, .write, .create], path: "/dev/shm")
}
