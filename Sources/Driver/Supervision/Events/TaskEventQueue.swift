import CLinux
import EventLoop
import Shared

/// Events on their way to the host: none is lost between two streams, and the backlog for a host that does not listen
/// is bounded.
///
/// An event is told once a stream has taken it. A stream begins with the oldest event that was not told yet, so that
/// the next stream delivers what one could not. The host may not have read what was told in the last moment of a
/// stream, for example if the agent was killed: it is told again (at-least-once delivery).
package final class TaskEventQueue: Sendable {
    /// The last so many are kept; older ones are dropped, even if they were not told yet.
    static let maximumBacklog = 1024
    /// Nanoseconds before the end of a stream in which what it was told is told again.
    static let lastMoment: UInt64 = 1_000_000_000

    fileprivate struct Entry {
        let event: TaskEvent
        /// The last stream that was told, and when.
        var told: (stream: UInt64, at: UInt64)?
    }

    fileprivate struct Stream {
        /// The number of the event that is next.
        var next: UInt64
        var arrival = OneShot<Void>()
    }

    fileprivate struct State {
        /// Oldest first; numbered in their order, from `firstNumber` on.
        var entries: [Entry] = []
        var firstNumber: UInt64 = 0
        /// How many were dropped before they were told. The next event that is delivered says so.
        var dropped = 0
        var streams: [UInt64: Stream] = [:]
        var nextStream: UInt64 = 0
    }

    /// What a stream has to do next.
    fileprivate enum Step {
        case deliver(TaskEvent, number: UInt64, dropped: Int)
        case wait(OneShot<Void>)
        case leave
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> UInt64

    /// - Parameter now: The monotonic clock, in nanoseconds.
    init(now: @escaping @Sendable () -> UInt64 = { exec2_monotonic() }) { self.now = now }

    /// How many streams there are.
    var streamCount: Int { state.withLock { $0.streams.count } }

    /// Hands an event to every stream, or keeps it for the next one.
    func publish(_ event: TaskEvent) {
        let arrivals = state.withLock { state -> [OneShot<Void>] in
            state.append(event)
            return state.streams.values.map(\.arrival)
        }
        for arrival in arrivals { arrival.set(()) }
    }

    /// Calls `deliver` for each event until the current Swift task is cancelled or `deliver` throws. What
    /// it did not take is kept for the next stream. Its second parameter says how many events before this
    /// one were dropped without having been told.
    package func stream<Failure: Error>(
        to deliver: (TaskEvent, _ dropped: Int) async throws(Failure) -> Void
    ) async throws(Failure) {
        let id = state.withLock { $0.begin() }
        defer { state.withLock { $0.end(id, now: now()) } }
        while !Task.isCancelled {
            switch state.withLock({ $0.step(of: id) }) {
            case .deliver(let event, let number, let dropped):
                try await deliver(event, dropped)
                state.withLock { $0.told(number, dropped, by: id, now: now()) }
            case .wait(let arrival):
                _ = await arrival.wait()
            case .leave:
                return
            }
        }
    }
}

extension TaskEventQueue.State {
    fileprivate mutating func append(_ event: TaskEvent) {
        entries.append(.init(event: event))
        if entries.count > TaskEventQueue.maximumBacklog {
            if entries.removeFirst().told == nil { dropped += 1 }
            firstNumber += 1
        }
    }

    fileprivate mutating func begin() -> UInt64 {
        nextStream += 1
        let untold = entries.firstIndex { $0.told == nil } ?? entries.count
        streams[nextStream] = .init(next: firstNumber + UInt64(untold))
        return nextStream
    }

    fileprivate mutating func end(_ id: UInt64, now: UInt64) {
        streams[id] = nil
        for index in entries.indices {
            if let told = entries[index].told, told.stream == id, told.at + TaskEventQueue.lastMoment > now {
                entries[index].told = nil
            }
        }
    }

    fileprivate mutating func step(of id: UInt64) -> TaskEventQueue.Step {
        guard var stream = streams[id] else { return .leave }
        defer { streams[id] = stream }
        // What was dropped meanwhile it cannot tell any more.
        stream.next = max(stream.next, firstNumber)
        let index = Int(stream.next - firstNumber)
        if index < entries.count { return .deliver(entries[index].event, number: stream.next, dropped: dropped) }
        if stream.arrival.current != nil { stream.arrival = OneShot() }
        return .wait(stream.arrival)
    }

    fileprivate mutating func told(_ number: UInt64, _ dropped: Int, by id: UInt64, now: UInt64) {
        if number >= firstNumber { entries[Int(number - firstNumber)].told = (id, now) }
        // Two streams may have told of the same ones.
        self.dropped = max(0, self.dropped - dropped)
        streams[id]?.next = number + 1
    }
}
