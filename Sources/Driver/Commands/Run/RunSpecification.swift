import Exec
import Glibc
import Host
import Planning
import Shared
import Supervision

/// What is launched for a command line.
extension RunCommand {
    func specification(
        _ directories: RunDirectories, _ cgroup: RunCgroup, _ user: TaskUser
    ) throws(RunFailure) -> LaunchSpecification {
        let megahertz = ClientTopology.ofThisHost().megahertzPerCore
        let limits = RunLimits(options, obstacles: cgroup.obstacles, megahertzPerCore: megahertz)
        limits.notices.forEach(Console.complain)

        var request = TaskRequest()
        request.allocDir = directories.root
        request.name = RunDirectories.taskName
        request.allocID = RunDirectories.allocID
        request.environment = ["PATH": LaunchPlanning.defaultPath]
            .merging(options.environment) { _, given in given }
            .merging(directories.variables) { _, own in own }
        if hasTerminal {
            request.environment["TERM"] = request.environment["TERM"] ?? Self.kindOfTerminal
            (request.stdoutPath, request.stderrPath) = ("/dev/null", "/dev/null")
        } else {
            (request.stdoutPath, request.stderrPath) = (directories.stdoutPipe, directories.stderrPipe)
        }
        request.resources = limits.resources
        request.volumes = options.volumes
        request.cgroup = cgroup.path
        if let path = options.networkNamespace { request.network = .group(path: path) }

        var configuration = PluginConfiguration()
        configuration.unveilDefaults = options.unveilDefaults
        configuration.confinement = options.policy
        configuration.stateDirectory = directories.stateDirectory
        var planning = LaunchPlanning(
            configuration: configuration, megahertzPerCore: megahertz, host: .ofThisHost())
        planning.hostGroupName = HostGroups.name
        planning.rulesOfOptions = "option --unveil"
        planning.hidesOtherAllocations = false
        planning.hasTerminal = hasTerminal
        let command = TaskOptions(
            command: options.command, arguments: options.arguments, unveil: options.unveil,
            oomScoreAdjustment: options.oomScoreAdjustment, workDir: options.workDir,
            confinement: limits.confinement, root: options.root, signalTarget: options.signalTarget)
        do throws(StartError) {
            var specification = try planning.specification(for: request, options: command, user: user)
            if hasTerminal {
                specification.unveil += TerminalAccess.paths.map {
                    .init(rule: UnveilRule(modes: [.read, .write], path: $0), optional: true, afterMounts: true)
                }
            }
            specification.cgroupWrites.compactMap { TaskEvent.message(raised: $0) }.forEach(Console.complain)
            return specification
        } catch {
            throw RunFailure(error.text)
        }
    }

    private static var kindOfTerminal: String {
        getenv("TERM").map { ByteText.text(cString: $0) } ?? TerminalAccess.defaultKind
    }
}
