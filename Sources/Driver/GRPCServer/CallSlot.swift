import CGRPC

/// The place into which gRPC puts a client's next call.
///
/// Used for one call after another: made anew for each, its small pieces would come to lie all over the heap, each in
/// a page that is then never given back (MemoryReturn).
final class CallSlot: Sendable {
    /// Nil: for calls of any method that has no slots of its own.
    let method: ReactorMethod?
    private let call = CoreOutput<OpaquePointer?>(nil)
    private let details = CoreOutput(grpc_call_details()) { grpc_call_details_destroy($0) }
    private let metadata = CoreOutput(grpc_metadata_array()) { grpc_metadata_array_destroy($0) }

    init(for method: ReactorMethod? = nil) {
        self.method = method
        begin()
    }

    private func begin() {
        call.pointer.pointee = nil
        grpc_call_details_init(details.pointer)
        grpc_metadata_array_init(metadata.pointer)
    }

    /// Asks gRPC for a call; `tag` comes out of the queue when there is one, and no more where that is refused.
    func request(of server: CoreObject, _ queue: CoreObject, _ tag: CompletionTag) -> grpc_call_error {
        let handed = tag.handOver()
        let error =
            if let method {
                method.request(
                    of: server, into: call.pointer, &details.pointer.pointee.deadline, metadata.pointer,
                    notifying: queue, handed)
            } else {
                grpc_server_request_call(
                    server.pointer, call.pointer, details.pointer, metadata.pointer, queue.pointer, queue.pointer,
                    handed)
            }
        if error != GRPC_CALL_OK { tag.takeBack(handed) }
        return error
    }

    /// The call that has come, with a reference to it and its method ("/package.Service/Method"). The slot is free
    /// then.
    func take() -> (CoreObject, method: String)? {
        guard let core = call.pointer.pointee else { return nil }
        let name = method?.name ?? String(slice: details.pointer.pointee.method)
        grpc_call_details_destroy(details.pointer)
        grpc_metadata_array_destroy(metadata.pointer)
        begin()
        return (CoreObject(pointer: core), name)
    }
}
