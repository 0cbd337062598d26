import Glibc
import Shared

/// A thread of its own, for the few who wait in a system call that no reactor can wait for.
package enum DetachedThread {
    /// Runs `body` on a new detached thread.
    ///
    /// - Parameters:
    ///   - purpose: Whose thread it is, for the error: "the reactor's thread".
    ///   - stackSize: In bytes.
    package static func start(
        _ purpose: String, stackSize: Int, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackSize)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let context = Unmanaged.passRetained(Body(run: body))
        var thread = pthread_t()
        let error = pthread_create(
            &thread, &attributes,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard error == 0 else {
            context.release()
            throw SystemError("start", purpose, Errno(rawValue: error))
        }
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
