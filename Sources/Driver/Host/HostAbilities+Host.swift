import CLinux
import Glibc
import Planning
import Shared

extension HostAbilities {
    /// The driver never removes anything from its own bounding set.
    private static let boundingSet = exec2_bounding_set()
    /// The driver raises soft limits of its own, never hard ones.
    private static let inheritedHardLimits = readHardLimits()

    private static let cgroupHierarchy = CgroupHierarchy.onHost()?.path

    private static func resolverFile() -> String? {
        guard let path = realpath("/etc/resolv.conf", nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    /// Landlock is asked anew each time: a question that failed once must not count for ever.
    package static func ofThisHost() -> HostAbilities {
        var abilities = HostAbilities(
            landlockABI: max(0, Int(exec2_landlock_abi())), capabilities: boundingSet, hardLimits: inheritedHardLimits)
        abilities.cgroups = cgroupHierarchy
        abilities.resolverDirectory = resolverDirectory(ofResolved: resolverFile())
        return abilities
    }

    /// getrlimit(2) of every kind. One that the kernel does not know counts as 0, so that no job raises it.
    private static func readHardLimits() -> [ResourceLimit.Kind: UInt64] {
        var limits: [ResourceLimit.Kind: UInt64] = [:]
        for kind in ResourceLimit.Kind.allCases {
            var limit = rlimit()
            let result = getrlimit(__rlimit_resource_t(kind.rawValue), &limit)
            limits[kind] = result == 0 ? UInt64(limit.rlim_max) : 0
        }
        return limits
    }
}
