#if !EMBEDDED
    #if THREAD_SANITIZER
        import Glibc

        /// In a build under ThreadSanitizer, the lock that the sanitizer knows: one of pthreads. It does not see how
        /// Swift's Mutex waits, and every state behind a contended one would look like a race.
        public struct Mutex<Value: ~Copyable>: ~Copyable {
            private let lock: UnsafeMutablePointer<pthread_mutex_t>
            private let value: UnsafeMutablePointer<Value>

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
            public borrowing func withLock<Result: ~Copyable, Failure: Error>(
                _ body: (inout sending Value) throws(Failure) -> sending Result
            ) throws(Failure) -> sending Result {
                pthread_mutex_lock(lock)
                defer { pthread_mutex_unlock(lock) }
                return try body(&value.pointee)
            }
        }

        extension Mutex: @unchecked Sendable where Value: ~Copyable {}
    #else
        import Synchronization

        /// Swift's own.
        public typealias Mutex<Value: ~Copyable> = Synchronization.Mutex<Value>
    #endif
#endif
