import Shared

/// From a request to what the Executor is to do: all decisions, no effects.
package struct LaunchPlanning: Sendable {
    package let configuration: PluginConfiguration
    /// What one core counts for, in MHz; nil if it is not known.
    package let megahertzPerCore: UInt64?
    package let host: HostAbilities
    /// How the host resolves names: for what a task's dns block leaves open.
    package var hostResolver = ResolverConfiguration()
    /// The host's name of a group: for a task with files of its users.
    package var hostGroupName: @Sendable (UInt32) -> String? = { _ in nil }
    /// Where rules of `TaskOptions.unveil` come from, in an error.
    package var rulesOfOptions = "task option unveil"
    /// Directories in which the client has mounted tasks' directories, as far as they are known.
    package var clientMounts: [String] = []
    /// Whether what is beside a task's allocation directory are other allocations', which the task must not reach.
    package var hidesOtherAllocations = true
    /// HOME of the agent's own environment, which it passes on to its plugins and to every task; nil: it has none.
    package var agentHome: String?
    /// Whether the task is given a terminal, of which its root has the device.
    package var hasTerminal = false

    package init(
        configuration: PluginConfiguration, megahertzPerCore: UInt64?, host: HostAbilities,
        hostResolver: ResolverConfiguration = ResolverConfiguration()
    ) {
        self.configuration = configuration
        self.megahertzPerCore = megahertzPerCore
        self.host = host
        self.hostResolver = hostResolver
    }

    /// Where the operator's rules come from, in an error.
    package static let operatorsRules = "plugin option unveil_paths"

    /// Searched for a bare command where the task's environment has no PATH.
    package static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// - Parameter user: The request's user, resolved.
    package func specification(
        for request: TaskRequest, user: TaskUser
    ) throws(StartError) -> LaunchSpecification {
        if let error = configuration.unusable.first { throw StartError(.permanent, error.description) }
        try checkNames(of: request)
        return try specification(for: request, options: options(of: request), user: user)
    }

    /// - Parameter options: In place of the request's driver configuration.
    package func specification(
        for request: TaskRequest, options: TaskOptions, user: TaskUser
    ) throws(StartError) -> LaunchSpecification {
        try checkPrivateTmp(options.root, request)
        let user = user.living(at: request.environment["HOME"].flatMap { $0 == agentHome ? nil : $0 })
        let directories = directories(of: request)
        var result = LaunchSpecification(user: user)
        result.taskID = request.id
        result.taskName = request.name
        result.programs = Self.programs(options.command, path: request.environment["PATH"])
        result.arguments = [options.command.text] + options.arguments
        result.environment = environment(request, user: user, directories)
        result.workDir = workDir(options.workDir, directories)
        result.stdoutPath = request.stdoutPath
        result.stderrPath = request.stderrPath
        result.logRoot = request.allocDir
        result.confinement = try confinement(options.confinement, isRoot: user.uid == 0)
        result.oomScoreAdj = options.oomScoreAdjustment ?? 0
        result.signalTarget = options.signalTarget
        result.unveil = unveil(options, request, directories) + rules(options.root)
        result.generatedFiles = try GeneratedFile.all(dns: request.dns, hosts: request.hosts, host: hostResolver)
        if options.root.userFiles {
            result.generatedFiles += try UserFiles(user: user, groupName: hostGroupName).files
        }
        result.mounts = try MountPlanning(
            directories: directories, allocDir: request.allocDir,
            namedRules: configuration.unveilPaths + options.unveil, hasPrivateTmp: options.root.privateTmp
        ).mounts(volumes: request.volumes, devices: request.devices)
        // With a capability it may be allowed to change modes and owners of what below /proc is the host's.
        let mayChangeProc = user.uid == 0 || result.confinement.capabilities != 0
        result.root = root(
            request, options, directories, mounts: result.mounts,
            readOnlyProc: mayChangeProc && !opensProc(result.unveil))
        if options.root.privateTmp { result.unveil = PrivateTmp.rules(result.unveil) }
        result.networkNamespace = try networkNamespace(request.network)
        result.cgroup = request.cgroup
        result.cgroupWrites = try cgroupWrites(request) + cgroupWrites(options.confinement)
        return result
    }

    /// What paths and variables are made of.
    private func checkNames(of request: TaskRequest) throws(StartError) {
        if ["", ".", ".."].contains(request.name) || request.name.utf8.contains(UInt8(ascii: "/")) {
            throw StartError(
                .permanent, "the task's name is \(quoted(request.name)): must be one part of a path, neither . nor ..")
        }
        if !request.allocDir.hasPrefix("/") {
            throw StartError(
                .permanent, "the task's alloc_dir is \(quoted(request.allocDir)): must be an absolute path")
        }
        if request.cgroup.isEmpty {
            throw StartError(
                .permanent,
                "linux_resources.cpuset_cgroup is missing: the client must name the cgroup that it has made for the task"
            )
        }
        for name in request.environment.keys where name.isEmpty || name.utf8.contains(UInt8(ascii: "=")) {
            throw StartError(
                .permanent, "the environment variable \(quoted(name)) cannot be set: a name is not empty and has no =")
        }
    }

    private func directories(of request: TaskRequest) -> TaskDirectories {
        TaskDirectories(
            environment: request.environment, allocDir: request.allocDir, allocID: request.allocID,
            taskName: request.name)
    }

    private func options(of request: TaskRequest) throws(StartError) -> TaskOptions {
        do throws(ConfigurationError) {
            return try TaskOptions(
                messagePack: request.driverConfig, plugin: configuration,
                taskDirectory: directories(of: request).task)
        } catch {
            throw StartError(.permanent, error.description)
        }
    }

    /// A bare name is tried in every directory of PATH, as a shell does; relative directories are passed over.
    package static func programs(_ command: TaskOptions.Command, path: String?) -> [String] {
        switch command {
        case .path(let path): return [path]
        case .name(let name):
            let searched = path.flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultPath
            return searched.utf8.split(separator: UInt8(ascii: ":")).filter { $0.first == UInt8(ascii: "/") }.map {
                String(Substring($0)) + "/" + name
            }
        }
    }

    /// The task's variables, and those that say who it is: USER and TMPDIR that the client passes on are the agent's.
    private func environment(_ request: TaskRequest, user: TaskUser, _ directories: TaskDirectories) -> [String] {
        var variables = request.environment
        variables["USER"] = user.name
        variables["HOME"] = user.home
        variables["TMPDIR"] = directories.tmp
        return variables.sorted { $0.key < $1.key }.map { $0.key + "=" + $0.value }
    }

    private func workDir(_ path: String?, _ directories: TaskDirectories) -> LaunchSpecification.WorkDir {
        guard let path else { return .init(root: "", path: directories.task) }
        if path.utf8.first != UInt8(ascii: "/") { return .init(root: directories.task, path: path) }
        let inside = directories.task + "/"
        guard path.utf8.starts(with: inside.utf8) else { return .init(root: "", path: path) }
        return .init(root: directories.task, path: String(Substring(path.utf8.dropFirst(inside.utf8.count))))
    }

    private func unveil(
        _ options: TaskOptions, _ request: TaskRequest, _ directories: TaskDirectories
    ) -> [LaunchSpecification.Unveil] {
        var result: [LaunchSpecification.Unveil] = []
        if configuration.unveilDefaults {
            // Below /proc, `rulesOfOwnRoot` has them.
            result += UnveilDefault.paths.filter { !$0.rule.path.utf8.starts(with: "/proc/".utf8) }.map {
                var unveil = LaunchSpecification.Unveil(rule: $0.rule, optional: true)
                unveil.isOfEveryTask = !$0.isBoundToProc
                return unveil
            }
            result += rulesOfOwnRoot(request, directories)
            result += directories.all.map {
                .init(rule: UnveilRule(modes: .all, path: $0), optional: true, noSymlink: true)
            }
        }
        result += configuration.unveilPaths.map {
            var unveil = LaunchSpecification.Unveil(
                rule: $0, optional: $0.isOptional, origin: Self.operatorsRules)
            unveil.isOfEveryTask = true
            return unveil
        }
        result += options.unveil.map {
            .init(
                rule: $0, optional: $0.isOptional, afterMounts: true, beneath: directories.directory(above: $0.path),
                origin: rulesOfOptions)
        }
        return result
    }

    /// Whether a rule that names something below /proc lets the task write there. One of / or of /proc itself does not
    /// count: much below /proc is the host's, and the kernel lets user 0 write to it (core_pattern), as to what
    /// belongs to the task's Executor (oom_score_adj).
    private func opensProc(_ rules: [LaunchSpecification.Unveil]) -> Bool {
        rules.contains { unveil in
            let parts = unveil.rule.path.pathComponents.filter { $0 != "." }
            return unveil.origin != nil && unveil.rule.modes.contains(.write) && parts.count > 1
                && parts[0] == "proc" && !parts.contains("..")
        }
    }

    private func networkNamespace(_ network: TaskRequest.Network) throws(StartError) -> String {
        switch network {
        case .host: return ""
        case .group(let path):
            if path.isEmpty {
                throw StartError(
                    .permanent, "network_isolation_spec has mode group, but no path of a network namespace")
            }
            return path
        case .unsupported(let mode):
            throw StartError(
                .permanent,
                "network_isolation_spec has mode \(mode), which this driver does not support (host and group are)")
        }
    }

    private func cgroupWrites(_ request: TaskRequest) throws(StartError) -> [CgroupWrite] {
        do throws(ResourceLimitError) {
            return try ResourceLimits.writes(
                for: request.resources, megahertzPerCore: megahertzPerCore, swap: configuration.confinement.memorySwap)
        } catch {
            throw StartError(.permanent, error.description)
        }
    }
}

extension TaskOptions.Command {
    /// As the job wrote it.
    var text: String {
        switch self {
        case .path(let text), .name(let text): text
        }
    }
}
