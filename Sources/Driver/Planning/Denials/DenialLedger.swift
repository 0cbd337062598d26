/// Which denials are told: the first ones of a task, each rule once, and no more than a few in a second for all tasks.
package struct DenialLedger: Sendable {
    /// How many of one task are told.
    package static let maximumOfTask = 16
    /// How many of all tasks are told in `period`.
    static let maximumOfAll = 32
    static let period: UInt64 = 10_000_000_000

    package static let last =
        "the sandbox denied more: no further denials of this task are told; the kernel's audit log has them"

    private var told: [String: Set<String>] = [:]
    /// When the current period began, and how many were told in it.
    private var began: UInt64 = 0
    private var count = 0

    package init() {}

    /// What to tell of a denial of a task; nil where nothing is to be told.
    ///
    /// One that comes too fast is not told, but it is when it comes again.
    /// - Parameter now: On the monotonic clock, in nanoseconds.
    package mutating func message(_ denial: LandlockDenial, of task: String, at now: UInt64) -> String? {
        var keys = told[task] ?? []
        guard keys.count <= Self.maximumOfTask, !keys.contains(denial.key), takeTurn(at: now) else { return nil }
        keys.insert(denial.key)
        told[task] = keys
        return keys.count <= Self.maximumOfTask ? denial.message : Self.last
    }

    /// Forgets all tasks but these.
    package mutating func keep(_ isKept: (String) -> Bool) { told = told.filter { isKept($0.key) } }

    private mutating func takeTurn(at now: UInt64) -> Bool {
        if now > began, now - began >= Self.period {
            began = now
            count = 0
        }
        guard count < Self.maximumOfAll else { return false }
        count += 1
        return true
    }
}
