import Shared

/// From a task's directories and rules to a root of its own.
extension LaunchPlanning {
    /// What of the host the task's root shows beside the template.
    func root(
        _ request: TaskRequest, _ options: TaskOptions, _ directories: TaskDirectories, readOnlyProc: Bool
    ) -> RootSpecification {
        let place = directories.place(allocDir: request.allocDir, allocID: request.allocID)
        // Other allocations, and the pipes of every task.
        let hidden = [Self.parent(of: request.allocDir), configuration.stateDirectory].filter { $0 != place.parent }
        return RootSpecification(
            template: TemplateSpecification(configuration, parent: place.parent, host: host, hidden: hidden),
            parent: place.parent,
            directories: place.directories(of: directories, taskName: request.name),
            replacements: place.replacements(of: directories, allocDir: request.allocDir, taskName: request.name),
            paths: options.unveil.filter { directories.directory(above: $0.path) == nil && $0.path != directories.task }
                .map {
                    TemplateSpecification.Path(
                        path: $0.path, optional: false, writable: !$0.modes.isDisjoint(with: [.write, .create]),
                        origin: Self.jobsRules)
                },
            sharedMemoryBytes: configuration.unveilDefaults ? RootSpecification.defaultSharedMemoryBytes : 0,
            hasTerminals: configuration.unveilDefaults, hasReadOnlyProc: readOnlyProc,
            hidden: hidden)
    }

    private static func parent(of path: String) -> String {
        "/" + path.pathComponents.dropLast().joined(separator: "/")
    }

    /// Rules for what a root of the task's own has and the host's does not.
    func rulesOfOwnRoot(_ request: TaskRequest, _ directories: TaskDirectories) -> [LaunchSpecification.Unveil] {
        guard configuration.unveilDefaults else { return [] }
        var rules = [
            UnveilRule(modes: .read, path: "/proc"), UnveilRule(modes: [.read, .write], path: "/dev/pts"),
            UnveilRule(modes: [.read, .write], path: "/dev/ptmx"),
            UnveilRule(modes: [.read, .write], path: "/dev/tty"),
            UnveilRule(modes: [.read, .write, .create], path: "/dev/shm"),
            // The default working directory.
            UnveilRule(modes: .all, path: directories.task),
        ]
        if let directory = host.resolverDirectory { rules.append(UnveilRule(modes: .read, path: directory)) }
        if !request.cgroup.isEmpty { rules.append(UnveilRule(modes: .read, path: request.cgroup)) }
        return rules.map { .init(rule: $0, optional: true, noSymlink: $0.path == directories.task) }
    }
}

/// Where below a directory of the template a task's directories stand.
struct TaskPlace: Equatable, Sendable {
    let parent: String
    /// Of the task's directory, below `parent`.
    let task: String
    /// Of the shared directory.
    let alloc: String

    func directories(of directories: TaskDirectories, taskName: String) -> [RootSpecification.Directory] {
        var result = [RootSpecification.Directory(sourceRoot: parent, source: task, inside: task)]
        for name in ["local", "secrets", "tmp"] {
            let path = task + "/" + name
            result.append(.init(sourceRoot: parent, source: path, inside: path, onlyMounts: true))
        }
        result.append(
            .init(sourceRoot: parent, source: alloc, inside: alloc, onlyMounts: directories.areMounts))
        result.append(
            .init(sourceRoot: parent, source: alloc + "/logs", inside: alloc + "/logs", isReadOnly: true))
        return result
    }

    /// What the client has mounted, from below `allocDir`; none where it mounts nothing.
    func replacements(
        of directories: TaskDirectories, allocDir: String, taskName: String
    ) -> [RootSpecification.Directory] {
        guard directories.areMounts else { return [] }
        return [
            .init(sourceRoot: allocDir, source: taskName, inside: task),
            .init(sourceRoot: allocDir, source: "alloc", inside: alloc),
            .init(sourceRoot: allocDir, source: taskName + "/secrets", inside: task + "/secrets", onlyMounts: true),
            .init(sourceRoot: allocDir, source: "alloc/logs", inside: alloc + "/logs", isReadOnly: true),
        ]
    }
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
