import CMessages
import Messages
import Shared

/// The request for a template: what every task of a plugin configuration reaches of the host.
package struct TemplateSpecification: Equatable, Sendable {
    package struct Path: Equatable, Sendable {
        package let path: String
        /// Skipped if it does not exist.
        let optional: Bool
        /// Whether the mount is writable; else it is read-only.
        let writable: Bool
        /// The option that names it, for errors; nil for defaults.
        package let origin: String?

        /// The same path, skipped if it does not exist.
        var optionally: Path { Path(path: path, optional: true, writable: writable, origin: origin) }
    }

    package let paths: [Path]
    /// Empty directories to mount on: the parent of tasks' directories, and those of terminals and shared memory.
    package let directories: [String]
    /// Files that exist, empty and unreadable, if they exist on the host.
    let placeholders: [String]
    let symlinks: [(name: String, target: String)]
    /// Directories of the host that no task reaches, whatever is unveiled above them.
    let hidden: [String]

    /// - Parameters:
    ///   - configuration: The plugin's configuration.
    ///   - parent: The parent of the task's directories.
    ///   - host: Says where cgroup v2 is mounted, and in which directory a service keeps resolv.conf.
    ///   - hasDevices: Whether the task gets the usual devices in its /dev.
    ///   - hidden: Directories of the host that no task reaches.
    init(
        _ configuration: PluginConfiguration, parent: String, host: HostAbilities, hasDevices: Bool, hidden: [String]
    ) {
        paths = Self.paths(configuration, host: host, hasDevices: hasDevices)
        directories = [parent] + (hasDevices ? ["/dev/pts", "/dev/shm"] : [])
        self.hidden = hidden
        placeholders = ["/etc/passwd", "/etc/group"]
        symlinks =
            hasDevices
            ? [
                ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
                ("/dev/stderr", "/proc/self/fd/2"), ("/dev/ptmx", "pts/ptmx"),
            ] : []
    }

    /// The paths that most tasks of a configuration have, known before a request is read.
    package static func usualPaths(_ configuration: PluginConfiguration, host: HostAbilities) -> [Path] {
        paths(configuration, host: host, hasDevices: configuration.unveilDefaults)
    }

    private static func paths(
        _ configuration: PluginConfiguration, host: HostAbilities, hasDevices: Bool
    ) -> [Path] {
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
        for rule in configuration.unveilPaths {
            add(rule, optional: rule.isOptional, origin: LaunchPlanning.operatorsRules)
        }
        return paths
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

/// The root of one task: what it has beside the template.
package struct RootSpecification: Equatable, Sendable {
    /// One of the task's directories.
    struct Directory: Equatable, Sendable {
        let sourceRoot: String
        /// The path on the host below `sourceRoot`, in which no symlink is followed.
        let source: String
        /// The path in the task's root, below `parent`.
        let inside: String
        var isReadOnly = false
        /// Mounted only if it is a mount of its own on the host.
        var onlyMounts = false
    }

    /// The task's cgroup, below the directory where the template shows cgroup v2.
    struct OwnCgroup: Equatable, Sendable {
        let mountPoint: String
        let inside: String
    }

    package let template: TemplateSpecification
    /// The parent of the task's directories: a directory of the template.
    let parent: String
    let directories: [Directory]
    /// Used instead of `directories` if the client's mounts are missing, as after a reboot.
    let replacements: [Directory]
    /// The directory, of `directories`, that is mounted at `/tmp` too; empty: none.
    var privateTmp = ""
    /// The only cgroup that the task sees; nil: all that the template shows.
    var ownCgroup: OwnCgroup?
    /// The paths that the job unveils on the host. If there are any, the template's paths follow, so that a rule for a
    /// directory above one of them does not take away what that allows.
    let paths: [TemplateSpecification.Path]
    let sharedMemoryBytes: UInt64
    let hasTerminals: Bool
    /// Whether all of /proc is read-only: the kernel lets root write to many of the host's settings there.
    let hasReadOnlyProc: Bool

    /// Parts of /proc that reveal keys of other processes, timers or the kernel's memory, or control the host.
    static let masked = [
        "acpi", "asound", "kcore", "key-users", "keys", "kmsg", "latency_stats", "sched_debug", "scsi", "sysrq-trigger",
        "timer_list", "timer_stats",
    ]

    /// The default of container runtimes.
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

extension RootSpecification {
    /// What of it an Executor makes before the request comes: tasks of one configuration mostly have the same.
    func messageOfEveryTask(_ arena: MessageArena) -> UnsafeMutablePointer<Exec2__Executor__TaskRoot>? {
        arena.message(Exec2__Executor__TaskRoot.self) {
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
