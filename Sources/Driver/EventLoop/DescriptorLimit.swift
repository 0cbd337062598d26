import Glibc

/// The limit of open descriptors (RLIMIT_NOFILE, getrlimit(2)).
///
/// A task takes three of the Driver's, and many services begin with a soft limit of 1024: the Driver
/// raises its own to the hard limit. Executors, and so tasks, get what the agent gave: programs that
/// close every possible descriptor, or wait with select(2), suffer from a high one.
package enum DescriptorLimit {
    /// As the agent handed it down.
    package static let inherited: rlimit = {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit
    }()

    /// How many descriptors this process may have.
    package static var most: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the soft limit to the hard one. A refusal leaves it as it is.
    package static func raise() {
        var limit = inherited
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
