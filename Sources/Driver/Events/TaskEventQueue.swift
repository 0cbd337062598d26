import Synchronization

/// Events on their way to the host: none is lost between two streams, and a host that does not listen
/// costs no more than a bounded backlog.
final class TaskEventQueue: Sendable {
    fileprivate struct State {
        var backlog: [TaskEvent] = []
        var streams: [UInt64: Stream] = [:]
        var nextStream: UInt64 = 0
    }

    fileprivate struct Stream {
        var events: [TaskEvent]
        var arrival = OneShot<Void>()
    }

    /// The oldest go first where more than so many wait for a stream.
    static let greatestBacklog = 1024

    private let state = Mutex(State())

    /// Hands an event to every stream, or keeps it for the next one.
    func publish(_ event: TaskEvent) {
        let arrivals = state.withLock { state -> [OneShot<Void>] in
            if state.streams.isEmpty {
                state.keep([event])
                return []
            }
            for id in state.streams.keys { state.streams[id]?.events.append(event) }
            return state.streams.values.map(\.arrival)
        }
        for arrival in arrivals { arrival.set(()) }
    }

    /// Calls `deliver` for each event until the current Swift task is cancelled or `deliver` throws. What
    /// it did not take is kept for the next stream.
    func stream(to deliver: (TaskEvent) async throws(RPCStatus) -> Void) async throws(RPCStatus) {
        let id = state.withLock { state in
            state.nextStream += 1
            state.streams[state.nextStream] = Stream(events: state.backlog)
            state.backlog = []
            return state.nextStream
        }
        defer { end(id) }
        while !Task.isCancelled {
            let (event, arrival) = state.withLock { state in
                let stream = state.streams[id]
                return (stream?.events.first, stream?.arrival)
            }
            if let event {
                try await deliver(event)
                state.withLock { _ = $0.streams[id]?.events.removeFirst() }
            } else if let arrival {
                _ = await arrival.wait()
                state.withLock { $0.streams[id]?.arrival = OneShot() }
            }
        }
    }

    private func end(_ id: UInt64) {
        state.withLock { state in
            guard let stream = state.streams.removeValue(forKey: id), state.streams.isEmpty else { return }
            state.keep(stream.events)
        }
    }
}

extension TaskEventQueue.State {
    fileprivate mutating func keep(_ events: [TaskEvent]) {
        backlog += events
        let excess = backlog.count - TaskEventQueue.greatestBacklog
        if excess > 0 {
            // The log has each of them too.
            backlog.removeFirst(excess)
        }
    }
}
