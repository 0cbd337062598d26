import Shared

/// Waiting for the end of the current task, for calls that stay open and say nothing.
package enum Cancellation {
    /// Returns when the current task is cancelled, at once if it is already.
    package static func wait() async {
        let waiter = Mutex<UnsafeContinuation<Void, Never>?>(nil)
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let cancelled = waiter.withLock { waiter in
                    if Task.isCancelled { return true }
                    waiter = continuation
                    return false
                }
                if cancelled { continuation.resume() }
            }
        } onCancel: {
            let continuation = waiter.withLock { waiter in
                defer { waiter = nil }
                return waiter
            }
            continuation?.resume()
        }
    }
}
