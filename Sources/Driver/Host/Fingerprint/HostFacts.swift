import CLinux
import Glibc
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
    var executor: ExecutorSearch
    /// Of the plugin's state_dir; nil where it can be used, or made, or nobody has asked.
    package var stateDirectoryFault: StateDirectoryFault?
    /// What options of the plugin ask for in vain, each as the sentence that a start fails with.
    package var obstacles: [String] = []

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

    /// The facts of this host, now.
    /// - Parameters:
    ///   - executorPath: The plugin's configured `executor_path`.
    ///   - stateDirectory: Its `state_dir`, if that is asked about.
    package static func gather(executorPath: String?, stateDirectory: String? = nil) -> HostFacts {
        var names = utsname()
        uname(&names)
        return HostFacts(
            effectiveUser: geteuid(),
            systemName: text(of: names.sysname),
            kernelRelease: text(of: names.release),
            cgroup: CgroupHierarchy.onHost(),
            landlock: LandlockSupport(answer: exec2_landlock_abi()),
            landlockErrata: exec2_landlock_errata(),
            executor: ExecutorSearch.onHost(configured: executorPath),
            stateDirectoryFault: stateDirectory.flatMap { StateDirectory(path: $0).fault })
    }

    /// The text in a fixed array of C's, up to its NUL.
    private static func text<Array>(of array: Array) -> String {
        withUnsafeBytes(of: array) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
