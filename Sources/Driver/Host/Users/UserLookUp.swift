import EventLoop
import Planning
import Shared

/// Looks users up in the time that a caller can wait.
///
/// What the name services of a host do takes as long as it takes, and cannot be broken off: a lookup that hangs keeps
/// its thread until it ends, and the caller goes on without it.
package struct UserLookUp: Sendable {
    /// Name services that go over to another server, or to what they have in store, have done so by then.
    static let maximumNanoseconds: UInt64 = 20_000_000_000

    package let reactor: Reactor
    var pool = BlockingPool.shared
    var nanoseconds = UserLookUp.maximumNanoseconds
    /// Asks the system; it may block.
    var resolve: @Sendable (String) -> Result<TaskUser, TaskUserError> = { name in
        Result { () throws(TaskUserError) in try TaskUser.resolve(name) }
    }

    package init(reactor: Reactor) { self.reactor = reactor }

    init(
        reactor: Reactor, pool: BlockingPool = .shared, nanoseconds: UInt64 = UserLookUp.maximumNanoseconds,
        resolve: @escaping @Sendable (String) -> Result<TaskUser, TaskUserError>
    ) {
        self.reactor = reactor
        self.pool = pool
        self.nanoseconds = nanoseconds
        self.resolve = resolve
    }

    /// The user of the name that the host sends.
    package func user(_ name: String) async throws(TaskUserError) -> TaskUser {
        if let user = try TaskUser.withoutLookUp(name) { return user }
        let answer = OneShot<Result<TaskUser, TaskUserError>>()
        let ticket = pool.perform(in: .names) { [resolve] in answer.set(resolve(name)) }
        if let result = await answer.wait(atMost: nanoseconds, on: reactor) { return try result.get() }
        pool.withdraw(ticket)
        throw Task.isCancelled ? .givenUp(name) : .noAnswer(name, seconds: nanoseconds / 1_000_000_000)
    }
}
