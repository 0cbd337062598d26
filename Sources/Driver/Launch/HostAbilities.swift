import CLinux

/// What this host can give to tasks.
struct HostAbilities: Equatable, Sendable {
    /// The version of the kernel's Landlock interface, 0 where there is none.
    let landlockABI: Int
    /// The capabilities that the agent has and can hand on (its bounding set).
    let capabilities: UInt64

    /// Neither changes while the process lives.
    static let ofThisHost = HostAbilities(
        landlockABI: max(0, Int(exec2_landlock_abi())), capabilities: exec2_bounding_set())
}
