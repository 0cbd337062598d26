import CLinux
import EventLoop
import Planning
import Shared

/// Looks users up in the time that a caller can wait.
///
/// What the name services of a host do takes as long as it takes, and cannot be broken off: a lookup that hangs keeps
/// its thread until it ends, and the caller goes on without it. A user of the host's own files is then the one that
/// these describe.
package struct UserLookUp: Sendable {
    /// Name services that go over to another server, or to what they have in store, have done so by then.
    static let maximumNanoseconds: UInt64 = 20_000_000_000
    /// After this a user of the host's own files is taken from these.
    static let localNanoseconds: UInt64 = 5_000_000_000

    package let reactor: Reactor
    var pool = BlockingPool.shared
    var pending = PendingLookUps.shared
    var nanoseconds = UserLookUp.maximumNanoseconds
    var localNanoseconds = UserLookUp.localNanoseconds
    var localAccounts = LocalAccounts()
    /// Asks the system; it may block.
    var resolve: @Sendable (String) -> Result<TaskUser, TaskUserError> = { name in
        Result { () throws(TaskUserError) in try TaskUser.resolve(name) }
    }

    package init(reactor: Reactor) { self.reactor = reactor }

    /// The user of the name that the host sends.
    /// - Parameter incomplete: Called where the user's groups are those of /etc/group alone, with the reason.
    package func user(
        _ name: String, incomplete: (_ reason: String) -> Void = { _ in }
    ) async throws(TaskUserError) -> TaskUser {
        if let user = try TaskUser.withoutLookUp(name) { return user }
        let end = Self.time(nanoseconds, after: exec2_monotonic())
        let lookUp = pending.join(
            name, on: pool,
            lane: { pool.isFull(.names) && localAccounts.user(name) != nil ? .localNames : .names }, resolve)
        defer { pending.leave(lookUp, on: pool) }
        if let result = await answer(of: lookUp, until: min(end, Self.time(localNanoseconds, after: lookUp.askedAt))) {
            return try result.get()
        }
        if !Task.isCancelled, let user = localAccounts.user(name) {
            incomplete(
                "the other name services of /etc/nsswitch.conf have not answered within "
                    + "\(localNanoseconds / 1_000_000_000) s")
            return user
        }
        if let result = await answer(of: lookUp, until: end) { return try result.get() }
        if Task.isCancelled { throw .givenUp(name) }
        guard let begunAt = lookUp.begunAt else {
            throw .notLookedUp(name, seconds: nanoseconds / 1_000_000_000, others: pending.begunNames)
        }
        throw .noAnswer(name, seconds: (exec2_monotonic() - begunAt) / 1_000_000_000)
    }

    private func answer(
        of lookUp: PendingLookUps.LookUp, until end: UInt64
    ) async -> Result<TaskUser, TaskUserError>? {
        let now = exec2_monotonic()
        return await lookUp.answer.wait(atMost: end > now ? end - now : 0, on: reactor)
    }

    private static func time(_ nanoseconds: UInt64, after start: UInt64) -> UInt64 {
        let (sum, overflow) = start.addingReportingOverflow(nanoseconds)
        return overflow ? .max : sum
    }
}
