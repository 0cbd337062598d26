import Shared

/// A value that is set once and that any number of Swift tasks wait for.
package final class OneShot<Value: Sendable>: Sendable {
    private enum Waiter {
        /// Registered, not yet suspended.
        case coming
        /// Registered, not yet suspended, and its deadline has passed or its Swift task was cancelled.
        case abandoned
        case waiting(UnsafeContinuation<Value?, Never>)
    }

    private struct State {
        var value: Value?
        /// Each from `newWaiter` until it resumes.
        var waiters: [UInt64: Waiter] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// The value, if it is there.
    package var current: Value? { state.withLock { $0.value } }

    /// Sets the value and resumes all waiters; false where it was set before: the first value stays.
    @discardableResult
    package func set(_ value: Value) -> Bool {
        let waiters = state.withLock { state -> [Waiter]? in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        guard let waiters else { return false }
        for case .waiting(let continuation) in waiters { continuation.resume(returning: value) }
        return true
    }

    /// How many are registered, suspended or not.
    var waiterCount: Int { state.withLock { $0.waiters.count } }

    /// Waits for the value; nil when the waiting Swift task is cancelled first.
    package func wait() async -> Value? {
        let waiter = newWaiter()
        return await withTaskCancellationHandler {
            await suspend(waiter)
        } onCancel: {
            abandon(waiter)
        }
    }

    /// Waits for the value, at most so many nanoseconds; nil when the time is up or the waiting Swift
    /// task is cancelled.
    package func wait(atMost nanoseconds: UInt64, on reactor: Reactor) async -> Value? {
        let waiter = newWaiter()
        let timer = reactor.after(nanoseconds) { self.abandon(waiter) }
        defer { reactor.cancel(timer) }
        return await withTaskCancellationHandler {
            await suspend(waiter)
        } onCancel: {
            abandon(waiter)
        }
    }

    private func newWaiter() -> UInt64 {
        state.withLock { state in
            state.nextWaiter += 1
            if state.value == nil { state.waiters[state.nextWaiter] = .coming }
            return state.nextWaiter
        }
    }

    private func suspend(_ waiter: UInt64) async -> Value? {
        await withUnsafeContinuation { continuation in
            let (resumes, value) = state.withLock { state -> (Bool, Value?) in
                if state.value == nil, !Task.isCancelled, case .coming? = state.waiters[waiter] {
                    state.waiters[waiter] = .waiting(continuation)
                    return (false, nil)
                }
                state.waiters[waiter] = nil
                return (true, state.value)
            }
            if resumes { continuation.resume(returning: value) }
        }
    }

    /// Deadline and cancellation may both call this: the second finds a waiter that has resumed, and does nothing.
    private func abandon(_ waiter: UInt64) {
        let continuation = state.withLock { state -> UnsafeContinuation<Value?, Never>? in
            switch state.waiters[waiter] {
            case .coming:
                state.waiters[waiter] = .abandoned
                return nil
            case .waiting(let continuation):
                state.waiters[waiter] = nil
                return continuation
            case .abandoned, nil: return nil
            }
        }
        continuation?.resume(returning: nil)
    }
}
