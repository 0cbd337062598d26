import Shared

/// What one version of the kernel's Landlock adds to what a task is held to, and how it is without.
package struct LandlockProtection: Equatable, Sendable {
    /// The version of the interface that brought it.
    package let minimumABI: Int
    /// What is kept from tasks with it, as `check` and docs/security.md name it.
    package let name: String
    /// What a task on an older kernel can do, or what it lacks.
    package let without: String

    /// All of them, oldest first. docs/security.md has the same table.
    package static let all = [
        LandlockProtection(
            minimumABI: 1, name: "files by rule", without: "the driver starts no task"),
        LandlockProtection(
            minimumABI: 2, name: "renaming between directories by rule",
            without: "tasks cannot rename or link from one directory to another (EXDEV)"),
        LandlockProtection(
            minimumABI: 3, name: "truncation by rule",
            without: "a task can truncate any file that its user can write"),
        LandlockProtection(
            minimumABI: 4, name: "TCP ports", without: "jobs with tcp_bind or tcp_connect do not start"),
        LandlockProtection(
            minimumABI: 5, name: "ioctl on devices by rule",
            without: "a task can use ioctl(2) on any device that it can open"),
        LandlockProtection(
            minimumABI: 6, name: "abstract unix sockets",
            without: "a task without its own network reaches the host's abstract unix sockets"),
        LandlockProtection(
            minimumABI: 7, name: "denials in the audit log", without: "log_denials and denial_events have no effect"),
        LandlockProtection(
            minimumABI: 9, name: "unix sockets by rule",
            without: "a task can connect to any unix socket whose permissions and path let its user"),
        LandlockProtection(
            minimumABI: 10, name: "UDP ports", without: "jobs with udp_bind or udp_connect do not start"),
        LandlockProtection(
            minimumABI: 10, name: "quiet paths in the audit log", without: "quiet_paths has no effect"),
    ]

    /// The first Linux with each version, from 1 on.
    private static let kernels = ["5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15", "7.0", "7.1", "7.2"]

    /// The first Linux with version `abi`, from 1 to `LandlockABI.newestKnown`.
    package static func kernel(ofABI abi: Int) -> String { kernels[min(max(abi, 1), kernels.count) - 1] }

    /// For `check`: what a kernel with version `abi` lacks of the above, and the first Linux that has it.
    package static func text(ofABI abi: Int) -> String {
        let lacking = all.filter { $0.minimumABI > abi }
        if lacking.isEmpty { return "all that this release knows" }
        return "all but "
            + lacking.map { "\($0.name) (Linux \(kernel(ofABI: $0.minimumABI)))" }.joined(separator: ", ")
    }

    /// The numbers of the errata in the kernel's mask, bit n - 1 for erratum n; "none" if the mask is 0.
    package static func text(ofErrata mask: UInt64) -> String {
        let numbers = (1...64).filter { mask & (1 << UInt64($0 - 1)) != 0 }
        return numbers.isEmpty ? "none" : numbers.map { "\($0)" }.joined(separator: ", ")
    }
}
