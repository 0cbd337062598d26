import CGRPC
import EventLoop

/// A method of whose calls a reactor's thread does what follows each operation.
///
/// For methods of which that thread sends for many calls at one moment: an operation that ends wakes no thread while
/// this one is at work, where those of other methods each wake the thread of the server's queue.
struct ReactorMethod: Sendable {
    let name: String
    let reactor: Reactor
    private let method: CoreObject

    /// One for all such calls, for as long as the process lives. gRPC calls the tags' functions: no thread polls it.
    private static let queue: CoreObject = {
        // The queue keeps the pointer, and lives as long as the process.
        let whenShutDown = UnsafeMutablePointer<grpc_completion_queue_functor>.allocate(capacity: 1)
        whenShutDown.initialize(to: grpc_completion_queue_functor())
        whenShutDown.pointee.functor_run = { _, _ in }
        var attributes = grpc_completion_queue_attributes(
            version: GRPC_CQ_CURRENT_VERSION, cq_completion_type: GRPC_CQ_CALLBACK,
            cq_polling_type: GRPC_CQ_NON_POLLING,
            cq_shutdown_cb: whenShutDown)
        return CoreObject(
            pointer: grpc_completion_queue_create(
                grpc_completion_queue_factory_lookup(&attributes), &attributes, nil))
    }()

    /// Makes the method known to a server that has not started; nil where it is so already.
    init?(_ name: String, of server: CoreObject, on reactor: Reactor) {
        guard let method = grpc_server_register_method(server.pointer, name, nil, GRPC_SRM_PAYLOAD_NONE, 0) else {
            return nil
        }
        self.name = name
        self.reactor = reactor
        self.method = CoreObject(pointer: OpaquePointer(method))
    }

    /// Asks gRPC for a call of the method.
    func request(
        of server: CoreObject, into call: UnsafeMutablePointer<OpaquePointer?>,
        _ deadline: UnsafeMutablePointer<gpr_timespec>, _ metadata: UnsafeMutablePointer<grpc_metadata_array>,
        notifying queue: CoreObject, _ tag: UnsafeMutableRawPointer
    ) -> grpc_call_error {
        grpc_server_request_registered_call(
            server.pointer, UnsafeMutableRawPointer(method.pointer), call, deadline, metadata, nil,
            Self.queue.pointer, queue.pointer, tag)
    }
}
