import CMessages
import Messages
import Shared

/// Everything an Executor needs to start a task: the Driver's one description of a launch.
///
/// The launch request is its form on the wire, made in `encoded` and nowhere else. What the Driver reads back of a
/// request is a `LaunchFailureContext`.
package struct LaunchSpecification: Equatable, Sendable {
    package struct Unveil: Equatable, Sendable {
        package let rule: UnveilRule
        /// Passed over where the path does not exist.
        package var optional = false
        /// Refused where one of the path's last two parts is a symlink.
        package var noSymlink = false
        /// Of every task of a plugin's configuration.
        var isOfEveryTask = false
        /// Directories can be made, and not removed or renamed.
        var keepsDirectories = false
        /// Opened when the volumes are there.
        package var afterMounts = false
        /// The task's directory that the path is below and must not lead out of; nil where it may lead anywhere.
        var beneath: String?
        /// Where the rule comes from, for errors: "plugin option unveil_paths"; nil for defaults.
        package var origin: String?

        package init(
            rule: UnveilRule, optional: Bool = false, noSymlink: Bool = false, afterMounts: Bool = false,
            beneath: String? = nil, origin: String? = nil
        ) {
            self.rule = rule
            self.optional = optional
            self.noSymlink = noSymlink
            self.afterMounts = afterMounts
            self.beneath = beneath
            self.origin = origin
        }
    }

    /// Where the task starts.
    struct WorkDir: Equatable, Sendable {
        /// The task's own directory, which `path` is below and must not lead out of; empty where `path` is absolute.
        let root: String
        let path: String
    }

    /// Ties the task to this process, which it ends with, and gives it a stdin.
    package struct Attachment: Equatable, Sendable {
        /// Descriptors that stay open until the task has started: the reading end of a pipe whose other end this
        /// process alone holds, and the task's stdin, or its terminal.
        package let leash, stdin: Int32
        package let hasTerminal: Bool
        /// The devpts file system that the terminal is of, to become the task's; nil: the host's.
        package let terminals: Int32?
        /// What the task has to end in when this process is gone.
        package let killTimeoutNanoseconds: UInt64

        package init(
            leash: Int32, stdin: Int32, hasTerminal: Bool, terminals: Int32? = nil, killTimeoutNanoseconds: UInt64
        ) {
            self.leash = leash
            self.stdin = stdin
            self.hasTerminal = hasTerminal
            self.terminals = terminals
            self.killTimeoutNanoseconds = killTimeoutNanoseconds
        }

        /// Where the Executor finds them.
        package var places: [(number: Int32, place: Int32)] {
            [(leash, AttachmentDescriptor.leash), (stdin, AttachmentDescriptor.stdin)]
                + (terminals.map { [($0, TemplateDescriptor.terminals)] } ?? [])
        }
    }

    var taskID = ""
    var taskName = ""
    var programs: [String] = []
    var arguments: [String] = []
    /// KEY=value.
    var environment: [String] = []
    var workDir = WorkDir(root: "", path: "")
    var stdoutPath = ""
    var stderrPath = ""
    var logRoot = ""
    var user: TaskUser
    var oomScoreAdj: Int32 = 0
    var signalTarget = SignalTarget.group
    package var unveil: [Unveil] = []
    var confinement = LaunchConfinement()
    var generatedFiles: [GeneratedFile] = []
    /// Parents before what is below them.
    var mounts: [TaskMount] = []
    /// Nil in a description that is not of a plan.
    package var root: RootSpecification?
    var networkNamespace = ""
    package var cgroup = ""
    package var cgroupWrites: [CgroupWrite] = []
    /// Whether text stands for bytes (`ByteText`): a command line's, which need not be UTF-8 as a job is.
    package var isByteText = false
    /// Nil for Nomad's tasks, which survive this process.
    package var attachment: Attachment?

    package init(user: TaskUser) { self.user = user }

    /// The oldest version of the request that has all that is in this one.
    private var version: UInt32 {
        if signalTarget == .process { return LaunchVersion.mainProcessSignals }
        if root != nil { return LaunchVersion.ownRoot }
        if confinement.restrictsUDP { return LaunchVersion.udpPorts }
        return attachment == nil ? LaunchVersion.plain : LaunchVersion.attached
    }

    /// Of a packed request, what an Executor can do before it comes (`TemplateDescriptor.rules`).
    package var encodedRules: [UInt8] {
        let confinement = confinement
        let rules = unveil.filter(\.isOfEveryTask)
        return Exec2__Executor__LaunchRequest.encoded { message, arena in
            message[.unveil] = arena.unveilPaths(rules)
            message.scope_abstract_sockets = confinement.scopesAbstractSockets.wire
            message.open_pathname_sockets = confinement.opensPathnameSockets.wire
            message.log_denials = confinement.logsDenials.wire
            message[.quietPaths] = arena.strings(confinement.quietPaths)
            message.root = root?.messageOfEveryTask(arena)
        }
    }

    /// The packed request.
    ///
    /// - Parameters:
    ///   - taskStateDirectory: The task's own, which is in `stateDirectory`.
    ///   - bootID: This boot's, as the kernel has it.
    package func encoded(session: UInt64, taskStateDirectory: String, stateDirectory: String, bootID: String) -> [UInt8]
    {
        Exec2__Executor__LaunchRequest.encoded(byteText: isByteText) { message, arena in
            message.protocol = version
            message.launch_pipe_is_held = true.wire
            message.session = session
            message.task_state_dir = arena.string(taskStateDirectory)
            message.state_dir = arena.string(stateDirectory)
            message.task_id = arena.string(taskID)
            message.task_name = arena.string(taskName)
            message.boot_id = arena.string(bootID)
            message[.programs] = arena.strings(programs)
            message[.arguments] = arena.strings(arguments)
            message[.environment] = arena.strings(environment)
            message.work_dir = arena.string(workDir.path)
            message.work_dir_root = arena.string(workDir.root)
            message.stdout_path = arena.string(stdoutPath)
            message.stderr_path = arena.string(stderrPath)
            message.log_root = arena.string(logRoot)
            message.user_id = user.uid
            message.group_id = user.gid
            message.user_name = arena.string(user.name)
            message[.groups] = arena.values(user.groups)
            message.oom_score_adj = oomScoreAdj
            message.signal_main_process = (signalTarget == .process).wire
            message.set(confinement, arena)
            message[.unveil] = arena.unveilPaths(unveil)
            message[.generatedFiles] = arena.messages(
                Exec2__Executor__GeneratedFile.self, generatedFiles
            ) {
                $0.path = arena.string($1.path)
                $0.content = arena.bytes(Array($1.text.utf8))
            }
            message[.mounts] = arena.messages(Exec2__Executor__Mount.self, mounts) {
                $0.source = arena.string($1.source)
                $0.root = arena.string($1.destination.root)
                $0.inside = arena.string($1.destination.inside)
                $0.make = $1.destination.isMade.wire
                $0.read_only = $1.readOnly.wire
                $0.no_exec = $1.noExec.wire
                $0.follow_host = $1.followsHost.wire
                $0.modes = UInt32($1.modes.rawValue)
                $0.device = ($1.kind == .device).wire
            }
            message.network_namespace = arena.string(networkNamespace)
            message.cgroup = arena.string(cgroup)
            message[.cgroupWrites] = arena.messages(
                Exec2__Executor__CgroupWrite.self, cgroupWrites
            ) {
                $0.file = arena.string($1.file)
                $0.value = arena.string($1.value)
                $0.optional = $1.mayBeMissing.wire
            }
            if let root { message.root = root.message(arena) }
            if let attachment {
                message.attachment = arena.message(Exec2__Executor__Attachment.self) {
                    $0.terminal = attachment.hasTerminal.wire
                    $0.own_terminals = (attachment.terminals != nil).wire
                    $0.kill_timeout_ns = attachment.killTimeoutNanoseconds
                }
            }
        }
    }
}

extension MessageArena {
    fileprivate func unveilPaths(
        _ rules: [LaunchSpecification.Unveil]
    ) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Exec2__Executor__UnveilPath>?> {
        messages(Exec2__Executor__UnveilPath.self, rules) {
            $0.path = self.string($1.rule.path)
            $0.modes = UInt32($1.rule.modes.rawValue)
            $0.optional = $1.optional.wire
            $0.no_symlink = $1.noSymlink.wire
            $0.keeps_directories = $1.keepsDirectories.wire
            $0.after_mounts = $1.afterMounts.wire
            $0.beneath = self.string($1.beneath ?? "")
            $0.origin = self.string($1.origin ?? "")
        }
    }
}

extension Exec2__Executor__LaunchRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__launch_request__init(message)
    }
}

extension Exec2__Executor__UnveilPath: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__unveil_path__init(message)
    }
}

extension Exec2__Executor__GeneratedFile: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__generated_file__init(message)
    }
}

extension Exec2__Executor__Mount: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { exec2__executor__mount__init(message) }
}

extension Exec2__Executor__CgroupWrite: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__cgroup_write__init(message)
    }
}

extension Exec2__Executor__Attachment: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { exec2__executor__attachment__init(message) }
}
