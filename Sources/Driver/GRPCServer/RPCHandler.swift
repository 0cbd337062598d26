/// What answers a method. Every call runs in a Swift task of its own; the task is cancelled when the
/// client cancels the call, when its deadline passes, when the connection breaks and when the server
/// shuts down. A handler must not block its thread for long: all calls share a few threads.
package enum RPCHandler: Sendable {
    /// The response to an operation that can be rolled back.
    package struct Response: Sendable {
        let message: [UInt8]
        /// Called once, on any thread, if the client disconnects before the response is sent.
        let undo: @Sendable () -> Void
        /// Called once the response was handed to gRPC, or was undone, on the handler's own threads: what the client need
        /// not wait for.
        let afterwards: @Sendable () -> Void

        package init(
            _ message: [UInt8], undo: @escaping @Sendable () -> Void,
            afterwards: @escaping @Sendable () -> Void = {}
        ) {
            self.message = message
            self.undo = undo
            self.afterwards = afterwards
        }
    }

    /// One request, one response.
    case unary(@Sendable ([UInt8]) async throws(RPCStatus) -> [UInt8])
    /// The same for an operation that is rolled back if the client disconnects before the response is sent.
    case undoable(@Sendable ([UInt8]) async throws(RPCStatus) -> Response)
    /// One request, any number of responses; the call ends when the handler returns.
    case serverStreaming(@Sendable ([UInt8], RPCResponseStream) async throws(RPCStatus) -> Void)
    /// Requests and responses independently of each other; the call ends when the handler returns.
    case bidirectional(@Sendable (RPCRequestStream, RPCResponseStream) async throws(RPCStatus) -> Void)
}

/// The requests of a streaming call.
package struct RPCRequestStream: Sendable {
    let call: RPCCall

    /// The next request, or nil when the client has sent its last.
    ///
    /// One task at a time may wait. Throws `cancelled` when the call or the waiting task is
    /// cancelled; in the latter case the request that arrives later is kept for the next reader.
    package func next() async throws(RPCStatus) -> [UInt8]? {
        try await call.nextRequest()
    }
}

/// The responses of a streaming call.
package struct RPCResponseStream: Sendable {
    let call: RPCCall

    /// Sends one message and waits until flow control has let it pass, so that a slow reader slows
    /// its sender and nothing piles up. Several tasks may send at once; messages leave in order of
    /// the calls. Throws `cancelled` when the call or the waiting task is cancelled.
    package func send(_ message: [UInt8]) async throws(RPCStatus) {
        try await call.send(message)
    }

    /// Whether the message before has passed.
    package var isFree: Bool { call.isFree }

    /// Sends one message where the one before has passed; false where it has not, or where nothing can be sent any
    /// more. Waits for nothing.
    package func offer(_ message: [UInt8]) -> Bool {
        call.offer(message)
    }
}
