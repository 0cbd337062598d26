import CLinux

/// What this host can give to tasks.
struct HostAbilities: Equatable, Sendable {
    /// The version of the kernel's Landlock interface, 0 where there is none.
    let landlockABI: Int
    /// The capabilities that the agent has and can hand on (its bounding set).
    let capabilities: UInt64

    /// Nothing here takes from its own bounding set.
    private static let boundingSet = exec2_bounding_set()

    /// Asked anew each time: a question that failed once must not count for ever.
    static func ofThisHost() -> HostAbilities {
        HostAbilities(landlockABI: max(0, Int(exec2_landlock_abi())), capabilities: boundingSet)
    }
}
