/// When a message that may repeat is logged: at first, and then at most once in a period, with how often it occurred.
package struct RepeatLimit: Sendable {
    private let period: UInt64
    /// Since the message was last logged.
    private var occurrences = 0
    /// Nil before the first.
    private var loggedAt: UInt64?

    /// - Parameter period: In nanoseconds.
    package init(period: UInt64) { self.period = period }

    /// Counts one occurrence. How many have not been logged yet, this one included, where the message is to be logged
    /// now; nil where it is not.
    /// - Parameter now: On the monotonic clock, in nanoseconds.
    package mutating func occurrence(at now: UInt64) -> Int? {
        occurrences += 1
        if let loggedAt, now - loggedAt < period { return nil }
        loggedAt = now
        defer { occurrences = 0 }
        return occurrences
    }
}
