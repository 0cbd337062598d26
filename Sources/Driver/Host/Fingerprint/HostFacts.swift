import CLinux
import Glibc
import Planning
import Shared

/// What decides whether this host can run tasks.
package struct HostFacts: Equatable, Sendable {
    var effectiveUser: uid_t
    /// uname(2): "Linux".
    var systemName: String
    /// uname(2): "6.18.44-amd64".
    var kernelRelease: String
    /// Nil where cgroup v2 is not mounted.
    var cgroup: CgroupHierarchy?
    var landlock: LandlockSupport
    /// Faults of Landlock's that this kernel has mended, bit n - 1 for erratum n.
    var landlockErrata: UInt64 = 0
    /// Nil until a search has ended.
    var executor: ExecutorSearch?
    /// Why the plugin's state_dir cannot be used; nil if it can be used, if it can be made, or before it is examined.
    package var stateDirectoryFault: StateDirectoryFault?
    /// Options of the plugin that this host cannot fulfil, each as the sentence that a start fails with.
    package var obstacles: [String] = []
    /// Whether denials can be reported; nil unless the plugin is configured to.
    package var denialEvents: DenialEventSupport?
    /// The path that does not answer, because of which what comes after it in this list is not known.
    var unanswered: UnansweredPath?

    enum LandlockSupport: Equatable, Sendable {
        /// The kernel's version of the interface.
        case version(Int)
        /// The kernel was built without it (ENOSYS).
        case notBuiltIn
        /// It was not enabled at boot (EOPNOTSUPP).
        case notEnabled
        /// The question itself failed.
        case unknown(Errno)

        /// - Parameter answer: What `exec2_landlock_abi()` answered.
        init(answer: Int32) {
            self =
                switch answer {
                case 1...: .version(Int(answer))
                case -ENOSYS, 0: .notBuiltIn
                case -EOPNOTSUPP: .notEnabled
                default: .unknown(Errno(rawValue: -answer))
                }
        }
    }

    /// Called with a path before it is looked at, and with the facts that are known by then.
    package typealias Examining = (_ path: ExaminedPath, _ facts: HostFacts) -> Void

    /// The facts of this host, now. Looks at files, and so may block.
    /// - Parameters:
    ///   - executorPath: The plugin's configured `executor_path`.
    ///   - stateDirectory: Its `state_dir`, if that is asked about.
    package static func gather(
        executorPath: String?, stateDirectory: String? = nil, examining: Examining = { _, _ in }
    ) -> HostFacts {
        var facts = ofKernel()
        facts.executor = ExecutorSearch.onHost(configured: executorPath) { path in
            examining(ExaminedPath(path: path, option: executorPath == nil ? nil : "executor_path"), facts)
        }
        if let stateDirectory {
            examining(ExaminedPath(path: stateDirectory, option: StateDirectory.option), facts)
            facts.stateDirectoryFault = StateDirectory(path: stateDirectory).fault
        }
        return facts
    }

    /// The same with what the plugin's options ask for.
    /// - Parameters:
    ///   - isSet: Whether a client has set the options. Before that they are defaults, whose directories must not be
    ///     made.
    ///   - clientDirectories: The client's, which no task reaches, as far as they are known.
    static func gather(
        _ configuration: PluginConfiguration, isSet: Bool, clientDirectories: [String] = [], examining: Examining
    ) -> HostFacts {
        let stateDirectory = configuration.stateDirectory
        var facts = gather(
            executorPath: configuration.executorPath, stateDirectory: stateDirectory, examining: examining)
        guard isSet else { return facts }
        facts.stateDirectoryFault =
            facts.stateDirectoryFault ?? StateDirectory(path: stateDirectory).faultWhereMissing
        facts.obstacles = ConfigurationObstacles.onHost(configuration, clientDirectories: clientDirectories) {
            examining($0, facts)
        }
        if configuration.confinement.denialEvents {
            facts.denialEvents = facts.denialEventSupport()
            if let support = facts.denialEvents, let obstacle = support.obstacle {
                facts.obstacles.append(
                    "the plugin option denial_events has no effect: \(obstacle): \(support.remedy), or leave the option out"
                )
            }
        }
        return facts
    }

    /// Asks the kernel whether denials can be told.
    package func denialEventSupport() -> DenialEventSupport {
        guard case .version(let version) = landlock else { return .landlockTooOld(0) }
        return .onHost(landlockABI: version)
    }

    /// What the kernel tells, which answers always.
    static func ofKernel() -> HostFacts {
        var names = utsname()
        uname(&names)
        return HostFacts(
            effectiveUser: geteuid(),
            systemName: text(of: names.sysname),
            kernelRelease: text(of: names.release),
            cgroup: CgroupHierarchy.onHost(),
            landlock: LandlockSupport(answer: exec2_landlock_abi()),
            landlockErrata: exec2_landlock_errata())
    }

    /// The text in a fixed array of C's, up to its NUL.
    private static func text<Array>(of array: Array) -> String {
        withUnsafeBytes(of: array) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// A path of the host that is looked at for a fingerprint, or for tasks' roots.
package struct ExaminedPath: Equatable, Sendable {
    let path: String
    /// The plugin option that names it; nil where none does.
    let option: String?

    package init(path: String, option: String?) {
        self.path = path
        self.option = option
    }
}

/// A path on a file system that does not answer.
package struct UnansweredPath: Equatable, Sendable {
    package let examined: ExaminedPath
    /// For how long it has not, at least.
    package let seconds: UInt64

    package init(examined: ExaminedPath, seconds: UInt64) {
        self.examined = examined
        self.seconds = seconds
    }

    /// What is wrong.
    package var text: String {
        "the path \(examined.path)" + (examined.option.map { " (plugin option \($0))" } ?? "")
            + " has not answered within \(seconds) s: its file system hangs, as a network file system does whose server is "
            + "gone"
    }

    /// What to do about it.
    package var remedy: String {
        "restore the server or unmount the file system"
            + (examined.option.map { ", or set \($0) to a path on another one" } ?? "")
    }
}
