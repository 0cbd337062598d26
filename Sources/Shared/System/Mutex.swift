#if !EMBEDDED
    import Glibc

    /// A lock of pthreads around a value. A thread that finds it locked sleeps at once.
    ///
    /// For a lock that more threads take than there are processors: Swift's own spins first, in vain while the thread that
    /// holds it waits for a processor.
    public struct SleepingMutex<Value: ~Copyable>: ~Copyable {
        @usableFromInline
        let lock: UnsafeMutablePointer<pthread_mutex_t>
        @usableFromInline
        let value: UnsafeMutablePointer<Value>

        /// An open lock around a value.
        public init(_ initialValue: consuming sending Value) {
            lock = .allocate(capacity: 1)
            lock.initialize(to: pthread_mutex_t())
            let error = pthread_mutex_init(lock, nil)
            precondition(error == 0, "cannot make a mutex: errno \(error)")
            value = .allocate(capacity: 1)
            value.initialize(to: initialValue)
        }

        deinit {
            pthread_mutex_destroy(lock)
            lock.deallocate()
            value.deinitialize(count: 1)
            value.deallocate()
        }

        /// Calls `body` with the value while no other thread has it.
        @inlinable
        public borrowing func withLock<Result: ~Copyable, Failure: Error>(
            _ body: (inout sending Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            pthread_mutex_lock(lock)
            defer { pthread_mutex_unlock(lock) }
            return try body(&value.pointee)
        }
    }

    // The value is touched by the thread that holds the lock alone, and both stay where they are until the owner is gone.
    extension SleepingMutex: @unchecked Sendable where Value: ~Copyable {}

    #if THREAD_SANITIZER
        /// In a build under ThreadSanitizer, a lock that the sanitizer knows. It does not see how Swift's Mutex waits, and
        /// every state behind a contended one would look like a race.
        public typealias Mutex<Value: ~Copyable> = SleepingMutex<Value>
    #else
        import Synchronization

        /// Swift's own.
        public typealias Mutex<Value: ~Copyable> = Synchronization.Mutex<Value>
    #endif
#endif
