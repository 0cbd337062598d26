import CLinux
import Glibc
import Shared
import Synchronization

/// One thread that waits for descriptors and deadlines on behalf of all tasks: no call and no task
/// has a thread of its own.
final class Reactor: Sendable {
    /// A descriptor that is watched, until `unwatch`.
    struct Watch: Hashable, Sendable { fileprivate let token: UInt64 }
    /// A deadline, until it passes or `cancel`.
    struct Timer: Hashable, Sendable { fileprivate let token: UInt64 }

    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var deadlines = DeadlineQueue()
        var actions: [UInt64: @Sendable () -> Void] = [:]
        var nextToken: UInt64 = 1
    }

    private static let wakeToken: UInt64 = 0
    private let state = Mutex(State())
    private let epoll: OwnedDescriptor
    private let wakeup: OwnedDescriptor

    /// Makes the epoll instance and starts the thread.
    init() throws(SystemError) {
        let epoll = exec2_epoll_create()
        guard epoll >= 0 else { throw SystemError("create", "an epoll instance") }
        self.epoll = OwnedDescriptor(owning: epoll)
        let wakeup = exec2_eventfd()
        guard wakeup >= 0 else { throw SystemError("create", "an eventfd") }
        self.wakeup = OwnedDescriptor(owning: wakeup)
        guard exec2_epoll_add(epoll, wakeup, EXEC2_EPOLLIN, Self.wakeToken) == 0 else {
            throw SystemError("watch", "an eventfd")
        }
        try DetachedThread.start("the reactor's thread", stackSize: 512 * 1024) { [self] in run() }
    }

    /// Calls `handler` on the reactor's thread whenever the descriptor is readable or has failed. The
    /// handler must not block, and must read until nothing is left or unwatch.
    func watch(_ descriptor: Int32, _ handler: @escaping @Sendable () -> Void) throws(SystemError) -> Watch {
        try watch(descriptor, EXEC2_EPOLLIN, handler)
    }

    /// Calls `handler` on the reactor's thread whenever the descriptor has become readable or writable, or
    /// has failed. Who waits for one of these must have found before that it is not so.
    func watchChanges(
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
    func unwatch(_ watch: Watch, _ descriptor: Int32) {
        let known = state.withLock { $0.handlers.removeAndShrink(watch.token) != nil }
        if known { _ = exec2_epoll_remove(epoll.number, descriptor) }
    }

    /// Calls `action` on the reactor's thread after so many nanoseconds.
    func after(_ nanoseconds: UInt64, _ action: @escaping @Sendable () -> Void) -> Timer {
        let now = exec2_monotonic()
        let deadline = now.addingReportingOverflow(nanoseconds)
        let (token, isFirst) = state.withLock { state in
            let token = state.nextToken
            state.nextToken += 1
            state.actions[token] = action
            return (token, state.deadlines.insert(deadline.overflow ? .max : deadline.partialValue, token))
        }
        if isFirst { wake() }
        return Timer(token: token)
    }

    /// Forgets a deadline that has not passed.
    func cancel(_ timer: Timer) {
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
        while true {
            let wait = state.withLock { Self.milliseconds(until: $0.deadlines.first) }
            let count = exec2_epoll_wait(epoll.number, ready.baseAddress, 64, wait)
            for index in 0..<max(0, Int(count)) {
                if ready[index].token == Self.wakeToken {
                    var drop: UInt64 = 0
                    _ = read(wakeup.number, &drop, 8)
                } else {
                    state.withLock { $0.handlers[ready[index].token] }?()
                }
            }
            passDeadlines()
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

    private static func milliseconds(until deadline: UInt64?) -> Int32 {
        guard let deadline else { return -1 }
        let now = exec2_monotonic()
        guard deadline > now else { return 0 }
        // Rounded up: to wake a moment too early would be to spin.
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }
}

/// Deadlines in order, with removal by token: a binary heap that knows where each token stands.
struct DeadlineQueue: Sendable {
    private var heap: [(deadline: UInt64, token: UInt64)] = []
    private var positions: [UInt64: Int] = [:]

    var first: UInt64? { heap.first?.deadline }

    /// True where the new deadline is now the first.
    mutating func insert(_ deadline: UInt64, _ token: UInt64) -> Bool {
        heap.append((deadline, token))
        positions[token] = heap.count - 1
        rise(heap.count - 1)
        return heap[0].token == token
    }

    mutating func removeFirst() -> UInt64? {
        guard let token = heap.first?.token else { return nil }
        remove(token)
        return token
    }

    mutating func remove(_ token: UInt64) {
        guard let position = positions.removeAndShrink(token) else { return }
        let last = heap.removeLastAndShrink()
        guard position < heap.count else { return }
        heap[position] = last
        positions[last.token] = position
        rise(position)
        sink(position)
    }

    private mutating func rise(_ start: Int) {
        var position = start
        while position > 0, heap[position].deadline < heap[(position - 1) / 2].deadline {
            exchange(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while true {
            var least = position
            for child in [2 * position + 1, 2 * position + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            guard least != position else { return }
            exchange(position, least)
            position = least
        }
    }

    private mutating func exchange(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        positions[heap[left].token] = left
        positions[heap[right].token] = right
    }
}
