import CLinux
import Glibc
import Shared

/// One thread that waits for descriptors and deadlines on behalf of all tasks: no call and no task
/// has a thread of its own.
package final class Reactor: Sendable {
    /// A descriptor that is watched, until `unwatch`.
    package struct Watch: Hashable, Sendable { fileprivate let token: UInt64 }
    /// A deadline, until it passes or `cancel`.
    package struct Timer: Hashable, Sendable { fileprivate let token: UInt64 }

    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var deadlines = DeadlineQueue()
        var actions: [UInt64: @Sendable () -> Void] = [:]
        /// What is to be called as soon as the thread can.
        var soon: [@Sendable () -> Void] = []
        var nextToken: UInt64 = 1
        /// The thread looks at nothing of this until it is woken.
        var sleeps = false

        /// True where the thread must be woken to see what has come; to whom it is said, he wakes it.
        mutating func takeSleep() -> Bool {
            defer { sleeps = false }
            return sleeps
        }
    }

    private static let wakeToken: UInt64 = 0
    /// Its own thread and those of all calls take it.
    private let state = SleepingMutex(State())
    private let epoll: OwnedDescriptor
    private let wakeup: OwnedDescriptor

    /// Makes the epoll instance and starts the thread.
    /// - Parameter purpose: Whose thread it is, for the error.
    package init(_ purpose: String = "the reactor's thread") throws(SystemError) {
        let epoll = exec2_epoll_create()
        guard epoll >= 0 else { throw SystemError("create", "an epoll instance") }
        self.epoll = OwnedDescriptor(owning: epoll)
        let wakeup = exec2_eventfd()
        guard wakeup >= 0 else { throw SystemError("create", "an eventfd") }
        self.wakeup = OwnedDescriptor(owning: wakeup)
        guard exec2_epoll_add(epoll, wakeup, EXEC2_EPOLLIN, Self.wakeToken) == 0 else {
            throw SystemError("watch", "an eventfd")
        }
        try DetachedThread.start(purpose, stackSize: 512 * 1024) { [self] in run() }
    }

    /// Calls `handler` on the reactor's thread whenever the descriptor is readable or has failed. The
    /// handler must not block, and must read until nothing is left or unwatch.
    package func watch(_ descriptor: Int32, _ handler: @escaping @Sendable () -> Void) throws(SystemError) -> Watch {
        try watch(descriptor, EXEC2_EPOLLIN, handler)
    }

    /// Calls `handler` on the reactor's thread, once, when the descriptor is readable or has failed: for what stays so,
    /// as a pidfd does from the process's end on. It is to be unwatched all the same.
    package func watchOnce(_ descriptor: Int32, _ handler: @escaping @Sendable () -> Void) throws(SystemError) -> Watch
    {
        try watch(descriptor, EXEC2_EPOLLIN_ONCE, handler)
    }

    /// Calls `handler` on the reactor's thread whenever the descriptor has become readable or writable, or
    /// has failed. Who waits for one of these must have found before that it is not so.
    package func watchChanges(
        _ descriptor: Int32, _ handler: @escaping @Sendable () -> Void
    ) throws(SystemError) -> Watch {
        try watch(descriptor, EXEC2_EPOLL_CHANGES, handler)
    }

    private func watch(
        _ descriptor: Int32, _ events: UInt32, _ handler: @escaping @Sendable () -> Void
    ) throws(SystemError) -> Watch {
        let token = state.withLock { state in
            let token = state.nextToken
            state.nextToken += 1
            state.handlers[token] = handler
            return token
        }
        guard exec2_epoll_add(epoll.number, descriptor, events, token) == 0 else {
            let error = SystemError("watch", "descriptor \(descriptor)")
            _ = state.withLock { $0.handlers.removeAndShrink(token) }
            throw error
        }
        return Watch(token: token)
    }

    /// Ends a watch. To be called before the descriptor is closed.
    package func unwatch(_ watch: Watch, _ descriptor: Int32) {
        let known = state.withLock { $0.handlers.removeAndShrink(watch.token) != nil }
        if known { _ = exec2_epoll_remove(epoll.number, descriptor) }
    }

    /// Calls `action` on the reactor's thread after so many nanoseconds.
    package func after(_ nanoseconds: UInt64, _ action: @escaping @Sendable () -> Void) -> Timer {
        let now = exec2_monotonic()
        let deadline = now.addingReportingOverflow(nanoseconds)
        let (token, wakes) = state.withLock { state in
            let token = state.nextToken
            state.nextToken += 1
            state.actions[token] = action
            let isFirst = state.deadlines.insert(deadline.overflow ? .max : deadline.partialValue, token)
            return (token, isFirst && state.takeSleep())
        }
        if wakes { wake() }
        return Timer(token: token)
    }

    /// Calls `action` on the reactor's thread as soon as it can, but not within this call, and in the order of the
    /// calls, which `after` does not promise.
    package func perform(_ action: @escaping @Sendable () -> Void) {
        let wakes = state.withLock { state in
            state.soon.append(action)
            return state.takeSleep()
        }
        if wakes { wake() }
    }

    /// Forgets a deadline that has not passed.
    package func cancel(_ timer: Timer) {
        state.withLock { state in
            if state.actions.removeAndShrink(timer.token) != nil { state.deadlines.remove(timer.token) }
        }
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeup.number, &one, 8)
    }

    private func run() {
        let ready = UnsafeMutableBufferPointer<exec2_ready>.allocate(capacity: 64)
        var soon: [@Sendable () -> Void] = []
        while true {
            let wait = state.withLock { state -> Int32 in
                guard state.soon.isEmpty else { return 0 }
                state.sleeps = true
                return Self.milliseconds(until: state.deadlines.first)
            }
            let count = exec2_epoll_wait(epoll.number, ready.baseAddress, 64, wait)
            state.withLock { $0.sleeps = false }
            for index in 0..<max(0, Int(count)) {
                if ready[index].token == Self.wakeToken {
                    var drop: UInt64 = 0
                    _ = read(wakeup.number, &drop, 8)
                } else {
                    state.withLock { $0.handlers[ready[index].token] }?()
                }
            }
            passDeadlines()
            callSoon(&soon)
        }
    }

    private func passDeadlines() {
        let now = exec2_monotonic()
        while true {
            let action = state.withLock { state -> (@Sendable () -> Void)? in
                guard let first = state.deadlines.first, first <= now, let token = state.deadlines.removeFirst() else {
                    return nil
                }
                return state.actions.removeAndShrink(token)
            }
            guard let action else { return }
            action()
        }
    }

    /// Calls what is there; what comes meanwhile waits until descriptors were looked at.
    /// - Parameter actions: Empty before and after; its room is used in turn with that of the actions that come.
    private func callSoon(_ actions: inout [@Sendable () -> Void]) {
        state.withLock { swap(&actions, &$0.soon) }
        for action in actions { action() }
        actions.removeAll(keepingCapacity: actions.capacity <= TableCapacity.minimum)
    }

    private static func milliseconds(until deadline: UInt64?) -> Int32 {
        guard let deadline else { return -1 }
        let now = exec2_monotonic()
        guard deadline > now else { return 0 }
        // Rounded up: to wake a moment too early would be to spin.
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }
}
