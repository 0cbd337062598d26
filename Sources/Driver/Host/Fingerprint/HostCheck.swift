import Planning
import Shared

/// One thing that the host needs, whether it has it, and else what to do.
package struct HostCheck: Equatable, Sendable {
    /// In short: "root", "kernel", "cgroup v2".
    package let name: String
    /// What the driver is on this host if nothing but this fails; healthy where it does not fail.
    let health: DriverHealth
    /// What was found.
    package let detail: String
    /// What to do about it; nil where there is nothing to do.
    package let remedy: String?

    package var ok: Bool { health == .healthy }

    /// The minimum kernel: Landlock is in 5.13 and cgroup.kill in 5.14, which is also the number of RHEL 9's kernel.
    static let minimumKernel = KernelVersion(5, 14)
    /// The cgroup controllers that limits and statistics need.
    static let controllers = ["cpu", "memory", "pids", "cpuset"]

    /// Every check, in the order in which an operator would go about them.
    ///
    /// What only another kernel, another way to boot or another user of the agent can change makes the driver
    /// undetected; what is missing on a host that is otherwise fit makes it unhealthy, so that an operator sees it.
    /// - Parameter landlockMinABI: The plugin option landlock_min_abi.
    package static func all(_ facts: HostFacts, landlockMinABI: Int = 1) -> [HostCheck] {
        [root(facts), kernel(facts), cgroup(facts)] + controllers.map { controller($0, facts) }
            + [landlock(facts, landlockMinABI)] + executor(facts) + StateDirectoryCheck.check(facts.stateDirectoryFault)
            + facts.obstacles.map { HostCheck(name: "configuration", health: .unhealthy, detail: $0, remedy: nil) }
            + unanswered(facts)
    }

    private static func passed(_ name: String, _ detail: String) -> HostCheck {
        HostCheck(name: name, health: .healthy, detail: detail, remedy: nil)
    }

    private static func failed(
        _ name: String, _ health: DriverHealth, _ detail: String, remedy: String
    ) -> HostCheck {
        HostCheck(name: name, health: health, detail: detail, remedy: remedy)
    }

    private static func root(_ facts: HostFacts) -> HostCheck {
        if facts.effectiveUser == 0 { return passed("root", "runs as root") }
        return failed(
            "root", .undetected, "the driver runs as uid \(facts.effectiveUser) and not as root",
            remedy: "run the client agent as root")
    }

    private static func kernel(_ facts: HostFacts) -> HostCheck {
        let found = "\(facts.systemName) \(facts.kernelRelease)"
        let remedy = "use Linux \(minimumKernel) or newer"
        guard facts.systemName == "Linux" else {
            return failed("kernel", .undetected, "the system is \(found) and not Linux", remedy: remedy)
        }
        guard let version = KernelVersion(release: facts.kernelRelease), version >= minimumKernel else {
            return failed("kernel", .undetected, "the kernel, \(found), is older than \(minimumKernel)", remedy: remedy)
        }
        return passed("kernel", found)
    }

    private static func cgroup(_ facts: HostFacts) -> HostCheck {
        if let cgroup = facts.cgroup { return passed("cgroup v2", "mounted at \(cgroup.path)") }
        return failed(
            "cgroup v2", .undetected, "cgroup v2 is not mounted",
            remedy: "boot with systemd.unified_cgroup_hierarchy=1, or mount it at /sys/fs/cgroup")
    }

    private static func controller(_ controller: String, _ facts: HostFacts) -> HostCheck {
        let name = "cgroup controller \(controller)"
        let remedy =
            "hand the controllers to cgroup v2: boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all, "
            + "and without cgroup_disable"
        guard let cgroup = facts.cgroup else {
            return failed(
                name, .unhealthy, "the \(controller) controller is not available: cgroup v2 is not mounted",
                remedy: remedy)
        }
        if cgroup.controllers.contains(controller) { return passed(name, "available in \(cgroup.path)") }
        return failed(
            name, .unhealthy,
            "the \(controller) controller is not available in \(cgroup.path)/cgroup.controllers", remedy: remedy)
    }

    private static func landlock(_ facts: HostFacts, _ minimum: Int) -> HostCheck {
        switch facts.landlock {
        // Of a minimum above the newest that this driver knows the configuration's check tells, as each start does.
        case .version(let version) where version < minimum && minimum <= LandlockABI.newestKnown:
            failed(
                "Landlock", .undetected, LandlockMinimum(found: version, minimum: minimum).detail,
                remedy: LandlockMinimum(found: version, minimum: minimum).remedy)
        case .version(let version):
            passed(
                "Landlock",
                "version \(version), errata mended: \(LandlockProtection.text(ofErrata: facts.landlockErrata))")
        case .notBuiltIn:
            failed(
                "Landlock", .undetected, "the kernel has no Landlock",
                remedy: "use a kernel built with CONFIG_SECURITY_LANDLOCK")
        case .notEnabled:
            failed(
                "Landlock", .unhealthy, "Landlock is not enabled in the kernel",
                remedy: "boot with lsm=landlock, followed by what /sys/kernel/security/lsm lists now")
        case .unknown(let error):
            failed(
                "Landlock", .unhealthy, "cannot ask the kernel for Landlock: \(error.text)",
                remedy: "allow the agent the Landlock system calls (a container's seccomp filter may deny them)")
        }
    }

    /// What tasks are held to by a newer kernel and not by this one. Nothing to mend: the driver is as fit without.
    package static func protections(_ facts: HostFacts) -> HostCheck? {
        guard case .version(let version) = facts.landlock else { return nil }
        return passed("Landlock's protections", LandlockProtection.text(ofABI: version))
    }

    /// Whether denial_events works here. Most clients do without it.
    package static func denialEvents(_ facts: HostFacts) -> HostCheck? {
        guard let support = facts.denialEvents else { return nil }
        return passed(
            "denial events",
            support.obstacle.map {
                "not possible, the plugin option denial_events has no effect: \($0): \(support.remedy)"
            }
                ?? "possible, with the plugin option denial_events = true")
    }

    private static func executor(_ facts: HostFacts) -> [HostCheck] {
        guard let search = facts.executor else { return [] }
        if let path = search.found { return [passed("Executor", path)] }
        return [failed("Executor", .unhealthy, search.missesText, remedy: ExecutorSearch.remedy)]
    }

    private static func unanswered(_ facts: HostFacts) -> [HostCheck] {
        facts.unanswered.map { [failed("file system", .unhealthy, $0.text, remedy: $0.remedy)] } ?? []
    }
}
