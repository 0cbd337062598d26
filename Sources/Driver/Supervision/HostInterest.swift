import Shared

/// Whether the host still knows a task: it waits for its end, or has asked for it since it last set
/// the plugin's configuration. A host that lost a task's handle does neither.
package final class HostInterest: Sendable {
    private struct State {
        var configuration = 0
        var waits = 0
    }

    private let state = Mutex(State())

    /// The host has shown that it knows the task, under this version of the configuration.
    package func claim(_ configuration: Int) {
        state.withLock { $0.configuration = max($0.configuration, configuration) }
    }

    package func beginWait() { state.withLock { $0.waits += 1 } }
    package func endWait() { state.withLock { $0.waits -= 1 } }

    /// Whether a WaitTask is under way.
    var isWaitedFor: Bool { state.withLock { $0.waits > 0 } }

    func isClaimed(since configuration: Int) -> Bool {
        state.withLock { $0.waits > 0 || $0.configuration >= configuration }
    }
}
