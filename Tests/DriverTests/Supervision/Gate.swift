import Shared

@testable import EventLoop

/// Counts, and lets wait for a count.
final class Counter: Sendable {
    private let state = Mutex((count: 0, maximum: 0, waiters: [(Int, UnsafeContinuation<Void, Never>)]()))

    var count: Int { state.withLock { $0.count } }
    var maximum: Int { state.withLock { $0.maximum } }

    func add(_ number: Int) {
        let due = state.withLock { state in
            state.count += number
            state.maximum = max(state.maximum, state.count)
            let due = state.waiters.filter { $0.0 <= state.count }
            state.waiters.removeAll { $0.0 <= state.count }
            return due
        }
        for waiter in due { waiter.1.resume() }
    }

    func reaches(_ count: Int) async {
        await withUnsafeContinuation { continuation in
            let isThere = state.withLock { state in
                if state.count < count { state.waiters.append((count, continuation)) }
                return state.count >= count
            }
            if isThere { continuation.resume() }
        }
    }
}

/// Holds threads until it is opened, as a name service that hangs does.
final class Gate: Sendable {
    let entered = Counter()
    private let signals = Mutex<[ThreadSignal]?>([])

    func pass() {
        let signal = ThreadSignal()
        let isClosed = signals.withLock { signals in
            signals?.append(signal)
            return signals != nil
        }
        entered.add(1)
        if isClosed { _ = signal.wait(atMost: .max) }
    }

    func open() {
        let held = signals.withLock { signals in
            defer { signals = nil }
            return signals ?? []
        }
        for signal in held { signal.raise() }
    }
}
