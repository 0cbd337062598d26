import CLinux
import Glibc

/// A signal that one thread waits for and others raise. If it is raised while no thread waits, the next wait returns at
/// once.
///
/// `@unchecked Sendable`: mutex and condition are made for several threads, and stay where they are until the last
/// owner is gone; `isRaised` is touched with the mutex held alone.
package final class ThreadSignal: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isRaised = false

    package init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    package func raise() {
        pthread_mutex_lock(mutex)
        isRaised = true
        pthread_mutex_unlock(mutex)
        // With the mutex held, the thread would wake up only to wait for the mutex.
        pthread_cond_signal(condition)
    }

    /// Returns when it is raised, true, or when its time is up, false.
    package func wait(atMost nanoseconds: UInt64) -> Bool {
        let (sum, overflow) = exec2_monotonic().addingReportingOverflow(nanoseconds)
        let end = overflow ? UInt64(Int64.max) : min(sum, UInt64(Int64.max))
        var deadline = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        pthread_mutex_lock(mutex)
        defer {
            isRaised = false
            pthread_mutex_unlock(mutex)
        }
        while !isRaised {
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return isRaised }
        }
        return true
    }
}
