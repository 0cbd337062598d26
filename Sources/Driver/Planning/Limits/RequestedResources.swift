/// What the host gives to a task, as the request bears it. 0 means not limited throughout.
struct RequestedResources: Equatable, Sendable {
    /// MHz.
    var cpuShares: Int64 = 0
    var memoryMB: Int64 = 0
    /// What the task may reach beyond `memoryMB` while the host has it; 0 not set, −1 without an end.
    var memoryMaxMB: Int64 = 0

    /// The same in the kernel's terms, for hosts that leave the figures above out.
    struct Linux: Equatable, Sendable {
        /// MHz as well: the host has but one figure.
        var cpuShares: Int64 = 0
        /// Microseconds.
        var cpuPeriod: Int64 = 0
        /// Microseconds of each period.
        var cpuQuota: Int64 = 0
        var memoryLimitBytes: Int64 = 0
    }

    var linux = Linux()
}
