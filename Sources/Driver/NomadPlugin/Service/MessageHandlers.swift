import GRPCServer
import Messages

/// Handlers that take their request read: a request that cannot be read is answered INVALID_ARGUMENT
/// with the reason, and the handler never sees it. Responses are bytes; see `WireMessage.encoded`.
extension RPCHandler {
    static func unary<Request: WireMessage>(
        _ request: Request.Type,
        _ answer: @escaping @Sendable (MessageView<Request>) async throws(RPCStatus) -> [UInt8]
    ) -> RPCHandler {
        .unary { (bytes) throws(RPCStatus) in try await answer(read(bytes)) }
    }

    static func undoable<Request: WireMessage>(
        _ request: Request.Type,
        _ answer: @escaping @Sendable (MessageView<Request>) async throws(RPCStatus) -> Response
    ) -> RPCHandler {
        .undoable { (bytes) throws(RPCStatus) in try await answer(read(bytes)) }
    }

    static func serverStreaming<Request: WireMessage>(
        _ request: Request.Type,
        _ answer: @escaping @Sendable (MessageView<Request>, RPCResponseStream) async throws(RPCStatus) -> Void
    ) -> RPCHandler {
        .serverStreaming { (bytes, responses) throws(RPCStatus) in try await answer(read(bytes), responses) }
    }

    private static func read<Request: WireMessage>(_ bytes: [UInt8]) throws(RPCStatus) -> MessageView<Request> {
        do throws(MessageError) {
            return try DecodedMessage<Request>(bytes).root
        } catch {
            throw error.status
        }
    }
}

extension RPCRequestStream {
    /// The next request, read; nil after the last. Throws as `next`, and INVALID_ARGUMENT for a
    /// request that cannot be read.
    func next<Request: WireMessage>(_ request: Request.Type) async throws(RPCStatus) -> MessageView<Request>? {
        guard let bytes = try await next() else { return nil }
        do throws(MessageError) {
            return try DecodedMessage<Request>(bytes).root
        } catch {
            throw error.status
        }
    }
}
