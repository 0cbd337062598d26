import Shared

/// From a task's directories and rules to a root of its own.
extension LaunchPlanning {
    /// Plans the task's root.
    /// - Parameter mounts: The task's volumes and devices: a rule of the job for a path in one does not apply to the
    ///   host's path.
    func root(
        _ request: TaskRequest, _ options: TaskOptions, _ directories: TaskDirectories, mounts: [TaskMount],
        readOnlyProc: Bool
    ) -> RootSpecification {
        let place = directories.place(allocDir: request.allocDir, allocID: request.allocID)
        let template = TemplateSpecification(
            configuration, parent: place.parent, host: host, hasDevices: hasDevices(options),
            hidden: hiddenDirectories(request, place))
        let destinations = mounts.map { $0.destination.path.pathComponents }
        let unveiled = options.unveil.filter { rule in
            directories.directory(above: rule.path) == nil && rule.path != directories.task
                && !destinations.contains { rule.path.pathComponents.starts(with: $0) }
                && (!options.root.privateTmp || PrivateTmp.inside(rule.path) == nil)
        }
        let paths = unveiled.map {
            TemplateSpecification.Path(
                path: $0.path, optional: $0.isOptional, writable: !$0.modes.isDisjoint(with: [.write, .create]),
                origin: rulesOfOptions)
        }
        let logs = logDirectories(request)
        return RootSpecification(
            template: template, parent: place.parent,
            directories: place.directories(of: directories, logs: logs),
            replacements: place.replacements(
                of: directories, allocDir: request.allocDir, taskName: request.name, logs: logs),
            privateTmp: options.root.privateTmp ? place.task + "/tmp" : "",
            ownCgroup: ownCgroup(request, options),
            paths: paths.isEmpty ? [] : paths + template.paths.map { $0.optionally },
            sharedMemoryBytes: sharedMemoryBytes(options),
            hasTerminals: hasDevices(options), hasReadOnlyProc: readOnlyProc)
    }

    /// Nil if a rule names the mount point of cgroup v2, or a path below or above it: such a rule shows other cgroups
    /// too.
    private func ownCgroup(_ request: TaskRequest, _ options: TaskOptions) -> RootSpecification.OwnCgroup? {
        guard configuration.unveilDefaults, let mountPoint = host.cgroups else { return nil }
        let shown = mountPoint.pathComponents
        let own = request.cgroup.pathComponents
        // If the cgroup is directly below the mount point, no directory on the way could be covered.
        guard own.count > shown.count + 1, own.starts(with: shown), !own.contains("..") else { return nil }
        let isNamed = (configuration.unveilPaths + options.unveil).contains { rule in
            let named = rule.path.pathComponents.filter { $0 != "." }
            return named.starts(with: shown) || shown.starts(with: named)
        }
        guard !isNamed else { return nil }
        return .init(mountPoint: mountPoint, inside: own.dropFirst(shown.count).joined(separator: "/"))
    }

    private func sharedMemoryBytes(_ options: TaskOptions) -> UInt64 {
        options.root.sharedMemoryBytes ?? (hasDevices(options) ? RootSpecification.defaultSharedMemoryBytes : 0)
    }

    /// Whether the task gets a /dev of its own. With a rule for `/` it does, since the host's root is then mounted
    /// `nodev`.
    private func hasDevices(_ options: TaskOptions) -> Bool {
        configuration.unveilDefaults || hasTerminal
            || (configuration.unveilPaths + options.unveil).contains { $0.path.pathComponents.isEmpty }
    }

    /// The directories of the allocations, those in which the client mounts tasks' directories, the state directory,
    /// and that of plugins' sockets.
    private func hiddenDirectories(_ request: TaskRequest, _ place: TaskPlace) -> [String] {
        var result: [String] = []
        let all =
            [
                hidesOtherAllocations ? Self.parent(of: request.allocDir) : request.allocDir, place.parent,
                configuration.stateDirectory, PluginSockets.parent,
            ] + clientMounts + (hidesOtherAllocations ? [Self.defaultMounts(allocDir: request.allocDir)] : [])
        for path in all where path != "/" && !result.contains(path) { result.append(path) }
        return result
    }

    /// Where a client mounts tasks' directories, unless its alloc_mounts_dir names another place. Always hidden: a job
    /// that sets NOMAD_TASK_DIR must not see the directories of other tasks.
    private static func defaultMounts(allocDir: String) -> String {
        let data = parent(of: parent(of: allocDir))
        return (data == "/" ? "" : data) + "/alloc_mounts"
    }

    /// The directory of the client's allocations; nil if `allocDir` is not in a directory of its own.
    package static func allocations(of allocDir: String) -> String? {
        let parent = parent(of: allocDir)
        return allocDir.hasPrefix("/") && parent != "/" ? parent : nil
    }

    /// That directory, and where the client mounts tasks' directories unless it is configured otherwise.
    package static func directories(ofClient allocations: String) -> [String] {
        [allocations, defaultMounts(allocDir: allocations + "/x")]
    }

    /// The log directories that the task sees. They can be read-only, since the task writes to its logs through
    /// descriptors.
    private func logDirectories(_ request: TaskRequest) -> [LogDirectory] {
        var result = [LogDirectory(owner: .allocation, inside: "logs")]
        let above = (request.allocDir + "/").utf8
        for path in [request.stdoutPath, request.stderrPath] where path.utf8.starts(with: above) {
            let parts = Substring(path.utf8.dropFirst(above.count)).pathComponents.dropLast()
            guard parts.count > 1 else { continue }
            let inside = parts.dropFirst().joined(separator: "/")
            let owner: LogDirectory.Owner? = parts[0] == "alloc" ? .allocation : parts[0] == request.name ? .task : nil
            guard let owner else { continue }
            let directory = LogDirectory(owner: owner, inside: inside)
            if !result.contains(directory) { result.append(directory) }
        }
        return result
    }

    private static func parent(of path: String) -> String {
        "/" + path.pathComponents.dropLast().joined(separator: "/")
    }

    /// Default rules for what the task has of its own.
    func rulesOfOwnRoot(_ request: TaskRequest, _ directories: TaskDirectories) -> [LaunchSpecification.Unveil] {
        var rules = [
            UnveilRule(modes: .read, path: "/proc"), UnveilRule(modes: [.read, .write], path: "/dev/pts"),
            UnveilRule(modes: [.read, .write], path: "/dev/ptmx"),
            UnveilRule(modes: [.read, .write], path: "/dev/tty"),
            Self.sharedMemoryRule,
            // The default working directory.
            UnveilRule(modes: .all, path: directories.task),
        ]
        if let directory = host.resolverDirectory { rules.append(UnveilRule(modes: .read, path: directory)) }
        if !request.cgroup.isEmpty { rules.append(UnveilRule(modes: .read, path: request.cgroup)) }
        return rules.map {
            var unveil = LaunchSpecification.Unveil(rule: $0, optional: true)
            // The client keeps local, secrets and others there, and identifies them by their names.
            unveil.keepsDirectories = $0.path == directories.task
            unveil.isOfEveryTask = $0.path != directories.task && $0.path != request.cgroup
            return unveil
        }
    }
}

extension TaskRequest {
    /// Where NOMAD_TASK_DIR says that the client has mounted a task's directories.
    package struct ClientMount: Equatable, Sendable {
        package let parent: String
        /// The path below `parent` of the directory that the allocation's tasks share.
        package let alloc: String
    }

    /// Nil if its directories are below `alloc_dir`.
    package var clientMount: ClientMount? {
        let directories = TaskDirectories(
            environment: environment, allocDir: allocDir, allocID: allocID, taskName: name)
        guard directories.areMounts else { return nil }
        let place = directories.place(allocDir: allocDir, allocID: allocID)
        return ClientMount(parent: place.parent, alloc: place.alloc)
    }
}

/// The paths of a task's directories in its root.
struct TaskPlace: Equatable, Sendable {
    /// A directory of the template.
    let parent: String
    /// The task's directory, below `parent`.
    let task: String
    /// The directory that the allocation's tasks share, below `parent`.
    let alloc: String

    func directories(of directories: TaskDirectories, logs: [LogDirectory]) -> [RootSpecification.Directory] {
        var result = [RootSpecification.Directory(sourceRoot: parent, source: task, inside: task)]
        for name in ["local", "secrets", "tmp"] {
            let path = task + "/" + name
            result.append(.init(sourceRoot: parent, source: path, inside: path, onlyMounts: true))
        }
        result.append(
            .init(sourceRoot: parent, source: alloc, inside: alloc, onlyMounts: directories.areMounts))
        for directory in logs {
            let path = place(of: directory)
            result.append(.init(sourceRoot: parent, source: path, inside: path, isReadOnly: true))
        }
        return result
    }

    /// The sources of the client's mounts, below `allocDir`; none if the client mounts nothing.
    func replacements(
        of directories: TaskDirectories, allocDir: String, taskName: String, logs: [LogDirectory]
    ) -> [RootSpecification.Directory] {
        guard directories.areMounts else { return [] }
        let tasks: [RootSpecification.Directory] = [
            .init(sourceRoot: allocDir, source: taskName, inside: task),
            .init(sourceRoot: allocDir, source: taskName + "/tmp", inside: task + "/tmp", onlyMounts: true),
            .init(sourceRoot: allocDir, source: "alloc", inside: alloc),
            .init(sourceRoot: allocDir, source: taskName + "/secrets", inside: task + "/secrets", onlyMounts: true),
        ]
        return tasks
            + logs.map {
                .init(
                    sourceRoot: allocDir, source: ($0.owner == .task ? taskName : "alloc") + "/" + $0.inside,
                    inside: place(of: $0), isReadOnly: true)
            }
    }

    private func place(of directory: LogDirectory) -> String {
        (directory.owner == .task ? task : alloc) + "/" + directory.inside
    }
}

/// A directory that the client reads a task's log from.
struct LogDirectory: Equatable, Sendable {
    enum Owner: Equatable, Sendable {
        /// The task's directory, or the one that the allocation's tasks share.
        case task, allocation
    }

    let owner: Owner
    /// The path below the owner's directory.
    let inside: String
}

extension TaskDirectories {
    func place(allocDir: String, allocID: String) -> TaskPlace {
        func split(_ path: String, levels: Int) -> (String, String) {
            let parts = path.pathComponents
            return (
                "/" + parts.dropLast(levels).joined(separator: "/"), parts.suffix(levels).joined(separator: "/")
            )
        }
        if areMounts {
            let (parent, name) = split(task, levels: 1)
            return TaskPlace(parent: parent, task: name, alloc: name + "/alloc")
        }
        // <alloc_dir>/<task> and <alloc_dir>/alloc: other allocations are beside <alloc_dir>.
        let (parent, name) = split(task, levels: 2)
        return TaskPlace(parent: parent, task: name, alloc: split(alloc, levels: 2).1)
    }
}
