import Shared

/// From a task's directories and rules to a root of its own.
extension LaunchPlanning {
    /// What of the host the task's root shows beside the template.
    /// - Parameter mounts: What the task gets mounted: a rule of the job's for a path there is not for the host's.
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
                path: $0.path, optional: false, writable: !$0.modes.isDisjoint(with: [.write, .create]),
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

    /// Nil where a rule names the host's cgroups, a part of them or what they are below: it shows others too.
    private func ownCgroup(_ request: TaskRequest, _ options: TaskOptions) -> RootSpecification.OwnCgroup? {
        guard configuration.unveilDefaults, let mountPoint = host.cgroups else { return nil }
        let shown = mountPoint.pathComponents
        let own = request.cgroup.pathComponents
        // Directly below the mount point, nothing is on the way that other tasks' cgroups could be in.
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

    /// Whether the task's /dev is its own. The host's whole root is shown without devices, so that it needs some.
    private func hasDevices(_ options: TaskOptions) -> Bool {
        configuration.unveilDefaults || hasTerminal
            || (configuration.unveilPaths + options.unveil).contains { $0.path.pathComponents.isEmpty }
    }

    /// Other allocations and what the client mounts of them, the pipes and records of every task, and plugins' sockets.
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

    /// Where a client mounts tasks' directories unless its alloc_mounts_dir says otherwise. A job can name another place
    /// for its own, and must not see the others' by that.
    private static func defaultMounts(allocDir: String) -> String {
        let data = parent(of: parent(of: allocDir))
        return (data == "/" ? "" : data) + "/alloc_mounts"
    }

    /// The directories of logs that the task sees, by what they are below: it writes through descriptors and needs no
    /// path.
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

    /// Default rules for what a root of the task's own has and the host's does not.
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
            // The client keeps local, secrets and others there, and takes what has their names for them.
            unveil.keepsDirectories = $0.path == directories.task
            return unveil
        }
    }
}

extension TaskRequest {
    /// Where the client says that it has mounted a task's directories.
    package struct ClientMount: Equatable, Sendable {
        package let parent: String
        /// Of the directory that the allocation's tasks share, below `parent`.
        package let alloc: String
    }

    /// Nil where its directories are in the allocation's.
    package var clientMount: ClientMount? {
        let directories = TaskDirectories(
            environment: environment, allocDir: allocDir, allocID: allocID, taskName: name)
        guard directories.areMounts else { return nil }
        let place = directories.place(allocDir: allocDir, allocID: allocID)
        return ClientMount(parent: place.parent, alloc: place.alloc)
    }
}

/// Where below a directory of the template a task's directories stand.
struct TaskPlace: Equatable, Sendable {
    let parent: String
    /// Of the task's directory, below `parent`.
    let task: String
    /// Of the shared directory.
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

    /// What the client has mounted, from below `allocDir`; none where it mounts nothing.
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
    /// Below the owner's directory.
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
