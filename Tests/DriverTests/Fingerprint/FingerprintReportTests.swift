import Shared
import Testing

@testable import Host
@testable import Planning

@Suite struct FingerprintReportTests {
    static let fit = HostFacts(
        effectiveUser: 0, systemName: "Linux", kernelRelease: "6.1.0-amd64",
        cgroup: CgroupHierarchy(path: "/sys/fs/cgroup", controllers: ["cpuset", "cpu", "io", "memory", "pids"]),
        landlock: .version(2), executor: ExecutorSearch(found: "/opt/executor", misses: []))

    static func fit(but change: (inout HostFacts) -> Void) -> HostFacts {
        var facts = fit
        change(&facts)
        return facts
    }

    static func report(_ facts: HostFacts) -> FingerprintReport {
        FingerprintReport(facts, configuration: PluginConfiguration())
    }

    @Test func aFitHostIsHealthy() {
        let report = Self.report(Self.fit)
        #expect(report.health == .healthy)
        #expect(report.description == "Healthy")
        #expect(HostCheck.all(Self.fit).allSatisfy { $0.ok && $0.remedy == nil })
        #expect(
            HostCheck.all(Self.fit).map(\.name) == [
                "root", "kernel", "cgroup v2", "cgroup controller cpu", "cgroup controller memory",
                "cgroup controller pids", "cgroup controller cpuset", "Landlock", "Executor",
            ])
    }

    /// What an option asks for in vain is told with what the host lacks besides.
    @Test func anObstacleIsUnhealthy() {
        let obstacles = ["cannot unveil /a: No such file", "cannot unveil /b: No such file"]
        let report = Self.report(
            Self.fit {
                $0.obstacles = obstacles
                $0.executor = ExecutorSearch(found: nil, misses: [])
            })
        #expect(report.health == .unhealthy)
        #expect(report.description.hasSuffix(": " + ExecutorSearch.remedy + "; " + obstacles.joined(separator: "; ")))
        #expect(Self.report(Self.fit { $0.obstacles = ["one"] }).description == "one")
    }

    @Test func attributesFollowTheConfiguration() throws {
        var configuration = PluginConfiguration()
        #expect(
            FingerprintReport(Self.fit, configuration: configuration).attributes == [
                "driver.exec2.unveil.defaults": .bool(true), "driver.exec2.unveil.tasks": .bool(false),
                "driver.exec2.version": .string(driverVersion), "driver.exec2.landlock.abi": .int(2),
                "driver.exec2.landlock.errata": .int(0),
            ])
        configuration.unveilDefaults = false
        configuration.unveilByTask = true
        let other = FingerprintReport(Self.fit, configuration: configuration)
        #expect(other.attributes["driver.exec2.unveil.defaults"] == .bool(false))
        #expect(other.attributes["driver.exec2.unveil.tasks"] == .bool(true))
        #expect(other != Self.report(Self.fit))
    }

    static let controllers =
        "hand the controllers to cgroup v2: boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all, "
        + "and without cgroup_disable"
    static let failures: [(String, HostFacts, DriverHealth, String)] = [
        (
            "state directory", fit { $0.stateDirectoryFault = .untrustedPath("/srv/state", .writable("/srv", true)) },
            .unhealthy,
            "cannot use the state directory /srv/state (option state_dir): others may write to /srv, so they could replace what "
                + "is in it: take away that right (chmod go-w /srv), or set the plugin option state_dir to a path that root "
                + "alone can write to"
        ),
        (
            "file system",
            fit { $0.unanswered = .init(examined: .init(path: "/srv/x", option: "executor_path"), seconds: 10) },
            .unhealthy,
            "the path /srv/x (plugin option executor_path) has not answered within 10 s: its file system hangs, as a network "
                + "file system does whose server is gone: restore the server or unmount the file system, or set "
                + "executor_path to a path on another one"
        ),
        (
            "file system",
            fit {
                $0.executor = nil
                $0.unanswered = .init(examined: .init(path: "/srv/x", option: nil), seconds: 10)
            }, .unhealthy,
            "the path /srv/x has not answered within 10 s: its file system hangs, as a network file system does whose server "
                + "is gone: restore the server or unmount the file system"
        ),
        (
            "root", fit { $0.effectiveUser = 1000 }, .undetected,
            "the driver runs as uid 1000 and not as root: run the client agent as root"
        ),
        (
            "kernel", fit { $0.kernelRelease = "5.13.19" }, .undetected,
            "the kernel, Linux 5.13.19, is older than 5.14: use Linux 5.14 or newer"
        ),
        (
            "kernel", fit { $0.systemName = "GNU" }, .undetected,
            "the system is GNU 6.1.0-amd64 and not Linux: use Linux 5.14 or newer"
        ),
        (
            "cgroup v2", fit { $0.cgroup = nil }, .undetected,
            "cgroup v2 is not mounted: boot with systemd.unified_cgroup_hierarchy=1, or mount it at /sys/fs/cgroup"
        ),
        (
            "Landlock", fit { $0.landlock = .notBuiltIn }, .undetected,
            "the kernel has no Landlock: use a kernel built with CONFIG_SECURITY_LANDLOCK"
        ),
        (
            "Landlock", fit { $0.landlock = .notEnabled }, .unhealthy,
            "Landlock is not enabled in the kernel: boot with lsm=landlock, followed by what "
                + "/sys/kernel/security/lsm lists now"
        ),
        (
            "Landlock", fit { $0.landlock = .unknown(.notPermitted) }, .unhealthy,
            "cannot ask the kernel for Landlock: Operation not permitted: allow the agent the Landlock system calls "
                + "(a container's seccomp filter may deny them)"
        ),
        (
            "Executor",
            fit {
                $0.executor = ExecutorSearch(
                    found: nil, misses: [.init(path: "/a/x", reason: "gone"), .init(path: "/b/x", reason: "no file")])
            }, .unhealthy,
            "the Executor cannot be run from /a/x (gone), /b/x (no file): install nomad-driver-exec2-executor beside "
                + "nomad-driver-exec2, or set executor_path in the plugin's configuration to where it is"
        ),
    ]
    static let missingControllers = HostCheck.controllers.map { missing in
        (
            "cgroup controller \(missing)",
            fit { facts in
                facts.cgroup = CgroupHierarchy(
                    path: "/sys/fs/cgroup", controllers: HostCheck.controllers.filter { $0 != missing })
            }, DriverHealth.unhealthy,
            "the \(missing) controller is not available in /sys/fs/cgroup/cgroup.controllers: \(controllers)"
        )
    }

    @Test(arguments: failures + missingControllers)
    func eachFailureHasItsTextAndRemedy(name: String, facts: HostFacts, health: DriverHealth, text: String) throws {
        let report = Self.report(facts)
        #expect(report.health == health)
        #expect(report.description == text)
        let check = try #require(HostCheck.all(facts).first { $0.name == name })
        #expect(!check.ok)
        #expect(check.remedy.map { text.hasSuffix($0) } == true)
    }

    @Test func aHybridHostIsUnhealthyWithOneRemedy() {
        let facts = Self.fit { $0.cgroup = CgroupHierarchy(path: "/sys/fs/cgroup/unified", controllers: []) }
        let report = Self.report(facts)
        #expect(report.health == .unhealthy)
        let texts = ["cpu", "memory", "pids", "cpuset"].map {
            "the \($0) controller is not available in /sys/fs/cgroup/unified/cgroup.controllers"
        }
        #expect(report.description == texts.joined(separator: "; ") + ": " + Self.controllers)
    }

    @Test func whatMakesTheHostUnfitComesAlone() {
        let facts = Self.fit {
            $0.effectiveUser = 1
            $0.kernelRelease = "5.4.0"
            $0.landlock = .notEnabled
        }
        #expect(Self.report(facts).health == .undetected)
        #expect(
            Self.report(facts).description
                == "the driver runs as uid 1 and not as root: run the client agent as root; "
                + "the kernel, Linux 5.4.0, is older than 5.14: use Linux 5.14 or newer")
        #expect(Self.report(facts).attributes["driver.exec2.landlock.abi"] == nil)
        #expect(HostCheck.all(facts).filter { !$0.ok }.count == 3)
    }
}

/// The plugin option landlock_min_abi.
@Suite struct LandlockMinimumReportTests {
    private static func report(minimum: Int) throws -> FingerprintReport {
        var confinement = ConfinementPolicy()
        confinement.landlockMinABI = minimum
        var configuration = PluginConfiguration()
        configuration.confinement = confinement
        return FingerprintReport(FingerprintReportTests.fit, configuration: configuration)
    }

    @Test func anOlderKernelIsUndetected() throws {
        #expect(try Self.report(minimum: 2).health == .healthy)
        #expect(try Self.report(minimum: 3).health == .undetected)
        #expect(try Self.report(minimum: LandlockABI.newestKnown).health == .undetected)
    }

    /// Seen before: the kernel was blamed for a version that this driver does not know, undetected, in other words than
    /// those that each start fails with.
    @Test func aVersionThatNobodyKnowsIsAnOptionToBeCorrected() throws {
        let newer = LandlockABI.newestKnown + 1
        #expect(try Self.report(minimum: newer).health == .healthy)
        var facts = FingerprintReportTests.fit
        var configuration = PluginConfiguration()
        configuration.confinement.landlockMinABI = newer
        facts.obstacles = ["option \"landlock_min_abi\" is \(newer)"]
        let report = FingerprintReport(facts, configuration: configuration)
        #expect(report.health == .unhealthy)
        #expect(report.description == facts.obstacles[0])
    }
}
