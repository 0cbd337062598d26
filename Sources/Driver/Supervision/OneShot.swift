import Synchronization

/// A value that is set once and that any number of Swift tasks wait for.
final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [UInt64: UnsafeContinuation<Value?, Never>] = [:]
        /// Waiters whose time was up before they had come to wait.
        var abandoned: Set<UInt64> = []
        var nextWaiter: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The value, if it is there.
    var current: Value? { state.withLock { $0.value } }

    /// Sets the value and wakes everybody; false where it had been set before, which stays.
    @discardableResult
    func set(_ value: Value) -> Bool {
        let waiters = state.withLock { state -> [UnsafeContinuation<Value?, Never>]? in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        guard let waiters else { return false }
        for waiter in waiters { waiter.resume(returning: value) }
        return true
    }

    /// Waits for the value; nil when the waiting Swift task is cancelled first.
    func wait() async -> Value? {
        let waiter = newWaiter()
        return await withTaskCancellationHandler {
            await suspend(waiter)
        } onCancel: {
            abandon(waiter)
        }
    }

    /// Waits for the value, at most so many nanoseconds; nil when the time is up or the waiting Swift
    /// task is cancelled.
    func wait(atMost nanoseconds: UInt64, on reactor: Reactor) async -> Value? {
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
            return state.nextWaiter
        }
    }

    private func suspend(_ waiter: UInt64) async -> Value? {
        await withUnsafeContinuation { continuation in
            let (resumes, value) = state.withLock { state -> (Bool, Value?) in
                if state.value != nil || Task.isCancelled || state.abandoned.contains(waiter) {
                    state.abandoned.remove(waiter)
                    return (true, state.value)
                }
                state.waiters[waiter] = continuation
                return (false, nil)
            }
            if resumes { continuation.resume(returning: value) }
        }
    }

    private func abandon(_ waiter: UInt64) {
        let continuation = state.withLock { state in
            let continuation = state.waiters.removeValue(forKey: waiter)
            if continuation == nil && state.value == nil { state.abandoned.insert(waiter) }
            return continuation
        }
        continuation?.resume(returning: nil)
    }
}
