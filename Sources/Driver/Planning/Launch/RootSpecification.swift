import CMessages
import Messages
import Shared

/// What every task of a plugin configuration reaches of the host, as the maker of a template gets it.
package struct TemplateSpecification: Equatable, Sendable {
    package struct Path: Equatable, Sendable {
        package let path: String
        /// Passed over where it does not exist.
        let optional: Bool
        /// Without it the mount is read-only.
        let writable: Bool
        /// Where it comes from, for errors; nil for defaults.
        package let origin: String?

        /// The same, passed over where it does not exist.
        var optionally: Path { Path(path: path, optional: true, writable: writable, origin: origin) }
    }

    package let paths: [Path]
    /// Directories below which tasks' directories stand.
    package let directories: [String]
    /// Files that stand there and are denied, where the host has them.
    let placeholders: [String]
    let symlinks: [(name: String, target: String)]
    /// Directories of the host that no task reaches, whatever is unveiled above them.
    let hidden: [String]

    /// - Parameters:
    ///   - configuration: The plugin's.
    ///   - parent: Of the directory of the task that is to be started.
    ///   - host: Where cgroup v2 is mounted, and which directory a service keeps resolv.conf in.
    ///   - hasDevices: Whether it has what every program expects in /dev.
    ///   - hidden: Directories of the host that no task reaches.
    init(
        _ configuration: PluginConfiguration, parent: String, host: HostAbilities, hasDevices: Bool, hidden: [String]
    ) {
        var paths: [Path] = []
        func add(_ rule: UnveilRule, optional: Bool, origin: String?) {
            let writable = !rule.modes.isDisjoint(with: [.write, .create])
            paths.append(Path(path: rule.path, optional: optional, writable: writable, origin: origin))
        }
        if configuration.unveilDefaults {
            for path in UnveilDefault.paths where !path.isBoundToProc { add(path.rule, optional: true, origin: nil) }
        } else if hasDevices {
            for name in ["null", "zero", "full", "random", "urandom"] {
                paths.append(Path(path: "/dev/" + name, optional: true, writable: true, origin: nil))
            }
        }
        if hasDevices {
            paths.append(Path(path: "/dev/tty", optional: true, writable: true, origin: nil))
        }
        if configuration.unveilDefaults {
            for path in [host.cgroups, host.resolverDirectory].compactMap({ $0 }) {
                paths.append(Path(path: path, optional: true, writable: false, origin: nil))
            }
        }
        for rule in configuration.unveilPaths { add(rule, optional: false, origin: LaunchPlanning.operatorsRules) }
        self.paths = paths
        directories =
            [parent] + (hasDevices ? ["/dev/pts", "/dev/shm"] : [])
        self.hidden = hidden
        placeholders = ["/etc/passwd", "/etc/group"]
        symlinks =
            hasDevices
            ? [
                ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
                ("/dev/stderr", "/proc/self/fd/2"), ("/dev/ptmx", "pts/ptmx"),
            ] : []
    }

    package static func == (left: TemplateSpecification, right: TemplateSpecification) -> Bool {
        left.paths == right.paths && left.directories == right.directories && left.placeholders == right.placeholders
            && left.symlinks.elementsEqual(right.symlinks, by: ==) && left.hidden == right.hidden
    }

    /// The packed request for the maker.
    package var encoded: [UInt8] {
        Exec2__Executor__LaunchRequest.encoded { message, arena in
            message.protocol = LaunchVersion.ownRoot
            message.launch_pipe_is_held = true.wire
            message.root_template = arena.message(Exec2__Executor__RootTemplate.self) {
                $0[.paths] = arena.templatePaths(paths)
                $0[.directories] = arena.strings(directories)
                $0[.placeholders] = arena.strings(placeholders)
                $0[.symlinks] = arena.strings(symlinks.flatMap { [$0.name, $0.target] })
                $0[.hidden] = arena.strings(hidden)
            }
        }
    }
}

/// The root of one task: what the template does not have.
package struct RootSpecification: Equatable, Sendable {
    /// One of the task's directories.
    struct Directory: Equatable, Sendable {
        let sourceRoot: String
        /// Below `sourceRoot`, through no symlink.
        let source: String
        /// Below `parent`.
        let inside: String
        var isReadOnly = false
        /// Mounted only where it is a mount of its own on the host.
        var onlyMounts = false
    }

    /// The task's cgroup, below the directory where the template shows cgroup v2.
    struct OwnCgroup: Equatable, Sendable {
        let mountPoint: String
        let inside: String
    }

    package let template: TemplateSpecification
    /// A directory of the template.
    let parent: String
    let directories: [Directory]
    let replacements: [Directory]
    /// Which of the directories is `/tmp` too; empty: none.
    var privateTmp = ""
    /// Which cgroup alone the task finds; nil: all that the template shows.
    var ownCgroup: OwnCgroup?
    /// What the job unveils of the host, and with any of that the template's paths, which must stay what they are.
    let paths: [TemplateSpecification.Path]
    let sharedMemoryBytes: UInt64
    let hasTerminals: Bool
    /// The kernel lets user 0 write to much below /proc that is the host's.
    let hasReadOnlyProc: Bool

    /// Parts of /proc that tell of other processes' keys, of timers and of the kernel's memory, or control the host.
    static let masked = [
        "acpi", "asound", "kcore", "key-users", "keys", "kmsg", "latency_stats", "sched_debug", "scsi", "sysrq-trigger",
        "timer_list", "timer_stats",
    ]

    /// As container runtimes have it.
    static let defaultSharedMemoryBytes: UInt64 = 64 << 20
}

extension RootSpecification {
    func message(_ arena: MessageArena) -> UnsafeMutablePointer<Exec2__Executor__TaskRoot>? {
        arena.message(Exec2__Executor__TaskRoot.self) {
            $0.parent = arena.string(parent)
            $0[.directories] = arena.rootDirectories(directories)
            $0[.replacements] = arena.rootDirectories(replacements)
            $0.private_tmp = arena.string(privateTmp)
            $0.cgroups = arena.string(ownCgroup?.mountPoint ?? "")
            $0.own_cgroup = arena.string(ownCgroup?.inside ?? "")
            $0[.paths] = arena.templatePaths(paths)
            $0.shm_size = sharedMemoryBytes
            $0[.masked] = arena.strings(Self.masked)
            $0.terminals = hasTerminals.wire
            $0.read_only_proc = hasReadOnlyProc.wire
        }
    }
}

extension MessageArena {
    fileprivate func templatePaths(
        _ paths: [TemplateSpecification.Path]
    ) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Exec2__Executor__TemplatePath>?> {
        messages(Exec2__Executor__TemplatePath.self, paths) {
            $0.path = self.string($1.path)
            $0.optional = $1.optional.wire
            $0.writable = $1.writable.wire
        }
    }

    fileprivate func rootDirectories(
        _ directories: [RootSpecification.Directory]
    ) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Exec2__Executor__RootDirectory>?> {
        messages(Exec2__Executor__RootDirectory.self, directories) {
            $0.source_root = self.string($1.sourceRoot)
            $0.source = self.string($1.source)
            $0.inside = self.string($1.inside)
            $0.read_only = $1.isReadOnly.wire
            $0.only_mounts = $1.onlyMounts.wire
        }
    }
}

extension Exec2__Executor__TemplatePath: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__template_path__init(message)
    }
}

extension Exec2__Executor__RootTemplate: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__root_template__init(message)
    }
}

extension Exec2__Executor__RootDirectory: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        exec2__executor__root_directory__init(message)
    }
}

extension Exec2__Executor__TaskRoot: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) { exec2__executor__task_root__init(message) }
}
