import CLinux
import Shared

/// Gives back to the host what many tasks have used, once they are gone.
///
/// A driver runs for months. What a busy hour took of the heap is free afterwards, but lies between what
/// is still in use, and malloc returns memory by itself only from the heap's end. Nor does it return what the
/// arenas of single threads have: with one arena for all threads, of whom few ever run at once, they share what is
/// free. Without either, 500 tasks that had run at once left 6 MiB, of which nothing was in use.
package final class MemoryReturn: Sendable {
    /// After a task is gone, so that tasks that come and go are not in the way of each other; and once more, for
    /// gRPC lets go of the last calls' memory some 15 seconds later.
    private static let soonNanoseconds: UInt64 = 5_000_000_000
    private static let lateNanoseconds: UInt64 = 25_000_000_000

    private enum State {
        case idle, dueSoon
        case dueLate(Reactor.Timer)
    }

    private let reactor: Reactor
    private let state = Mutex(State.idle)

    package init(reactor: Reactor) { self.reactor = reactor }

    /// Before other threads exist.
    package static func useOneHeap() { exec2_use_one_heap() }

    /// To be called whenever the driver has forgotten a task.
    package func taskIsGone() {
        state.withLock { state in
            switch state {
            case .dueSoon: return
            case .dueLate(let timer): reactor.cancel(timer)
            case .idle: break
            }
            state = .dueSoon
            _ = reactor.after(Self.soonNanoseconds) { [self] in trimSoon() }
        }
    }

    private func trimSoon() {
        exec2_trim_heap()
        state.withLock { $0 = .dueLate(reactor.after(Self.lateNanoseconds) { [self] in trimLate() }) }
    }

    private func trimLate() {
        exec2_trim_heap()
        state.withLock { state in
            // A task that went at this very moment has its own trim to come.
            if case .dueLate = state { state = .idle }
        }
    }
}
