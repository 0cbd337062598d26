import Shared

/// A repeated event that one Swift task at a time waits for. If it happens while no task waits, the next wait returns
/// at once.
package final class Edge: Sendable {
    private struct State {
        var isRaised = false
        var waiter: UnsafeContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    package init() {}

    /// It has happened.
    package func raise() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            state.isRaised = state.waiter == nil
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns when it has happened since the last wait, or when the waiting Swift task is cancelled.
    package func wait() async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let passes = state.withLock { state in
                    precondition(state.waiter == nil, "two wait for one edge")
                    if state.isRaised || Task.isCancelled {
                        state.isRaised = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if passes { continuation.resume() }
            }
        } onCancel: {
            raise()
        }
    }
}
