/// What the host gives to a task, as the request bears it. 0 means not limited throughout.
package struct RequestedResources: Equatable, Sendable {
    /// MHz.
    package var cpuShares: Int64 = 0
    package var memoryMB: Int64 = 0
    /// What the task may reach beyond `memoryMB` while the host has it; 0 not set, −1 without an end.
    package var memoryMaxMB: Int64 = 0

    /// The same in the kernel's terms, for hosts that leave the figures above out.
    package struct Linux: Equatable, Sendable {
        /// MHz as well: the host has but one figure.
        var cpuShares: Int64 = 0
        /// Microseconds.
        var cpuPeriod: Int64 = 0
        /// Microseconds of each period.
        var cpuQuota: Int64 = 0
        var memoryLimitBytes: Int64 = 0

        package init(cpuShares: Int64 = 0, cpuPeriod: Int64 = 0, cpuQuota: Int64 = 0, memoryLimitBytes: Int64 = 0) {
            self.cpuShares = cpuShares
            self.cpuPeriod = cpuPeriod
            self.cpuQuota = cpuQuota
            self.memoryLimitBytes = memoryLimitBytes
        }
    }

    var linux = Linux()

    package init(cpuShares: Int64 = 0, memoryMB: Int64 = 0, memoryMaxMB: Int64 = 0, linux: Linux = Linux()) {
        self.cpuShares = cpuShares
        self.memoryMB = memoryMB
        self.memoryMaxMB = memoryMaxMB
        self.linux = linux
    }
}
