import CLinux
import EventLoop
import Planning
import Shared

/// The lookups of users that are under way: one for a name, shared by all who ask for it.
///
/// A lookup that hangs keeps its thread. If each start of a task looked its user up for itself, the starts of one user
/// would soon have every thread that lookups may use.
package final class PendingLookUps: Sendable {
    final class LookUp: Sendable {
        let name: String
        let askedAt = exec2_monotonic()
        let answer = OneShot<Result<TaskUser, TaskUserError>>()
        private let begun = Mutex<UInt64?>(nil)

        init(_ name: String) { self.name = name }

        /// When its thread began with it, on the monotonic clock; nil before.
        var begunAt: UInt64? { begun.withLock { $0 } }

        func begin() { begun.withLock { $0 = exec2_monotonic() } }
    }

    private struct Entry {
        let lookUp: LookUp
        /// Who waits for it.
        var waiters = 1
        var ticket: BlockingPool.Ticket?
    }

    /// Those of this process.
    static let shared = PendingLookUps()

    private let entries = Mutex<[String: Entry]>([:])

    /// The names of the users whose lookups have begun.
    var begunNames: [String] {
        entries.withLock { $0.values.filter { $0.lookUp.begunAt != nil }.map(\.lookUp.name) }.sorted()
    }

    /// The lookup of this name that is under way, or else a new one in this lane. To be left when the caller stops
    /// waiting.
    func join(
        _ name: String, on pool: BlockingPool, lane: () -> BlockingPool.Lane,
        _ resolve: @escaping @Sendable (String) -> Result<TaskUser, TaskUserError>
    ) -> LookUp {
        let (lookUp, isNew) = entries.withLock { entries in
            if let entry = entries[name] {
                entries[name]?.waiters += 1
                return (entry.lookUp, false)
            }
            let lookUp = LookUp(name)
            entries[name] = Entry(lookUp: lookUp)
            return (lookUp, true)
        }
        guard isNew else { return lookUp }
        let ticket = pool.perform(in: lane()) { [self] in
            lookUp.begin()
            let result = resolve(name)
            // First, so that who asks from now on is not given an answer of the past.
            forget(lookUp)
            lookUp.answer.set(result)
        }
        entries.withLock { entries in
            if entries[name]?.lookUp === lookUp { entries[name]?.ticket = ticket }
        }
        return lookUp
    }

    /// The caller stops waiting. A lookup that nobody waits for and that has not begun is withdrawn.
    func leave(_ lookUp: LookUp, on pool: BlockingPool) {
        let ticket = entries.withLock { entries -> BlockingPool.Ticket? in
            guard let entry = entries[lookUp.name], entry.lookUp === lookUp else { return nil }
            entries[lookUp.name]?.waiters -= 1
            guard entry.waiters == 1, lookUp.begunAt == nil else { return nil }
            return entries.removeAndShrink(lookUp.name)?.ticket
        }
        if let ticket { pool.withdraw(ticket) }
    }

    private func forget(_ lookUp: LookUp) {
        entries.withLock { entries in
            if entries[lookUp.name]?.lookUp === lookUp { _ = entries.removeAndShrink(lookUp.name) }
        }
    }
}
