import CGRPC
import Glibc

@testable import EventLoop
@testable import GRPCServer

/// Runs `body` on a thread of its own, for what blocks: tests share the threads of the handlers.
func onThread(_ body: @escaping @Sendable () -> Void) {
    final class Body: Sendable {
        let run: @Sendable () -> Void
        init(run: @escaping @Sendable () -> Void) { self.run = run }
    }
    var thread = pthread_t()
    let error = pthread_create(
        &thread, nil,
        { context in
            if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
            return nil
        }, Unmanaged.passRetained(Body(run: body)).toOpaque())
    precondition(error == 0, "pthread_create: \(error)")
    pthread_detach(thread)
}

/// A client on gRPC's C core, with its own connection.
final class RPCTestClient: Sendable {
    private let channel: CoreObject
    private let queue: CoreObject

    init(socket: String) {
        queue = CoreObject(pointer: grpc_completion_queue_create_for_next(nil))
        let keys: [StaticString] = [
            "grpc.max_receive_message_length", "grpc.max_send_message_length", "grpc.use_local_subchannel_pool",
        ]
        var arguments = zip(keys, [-1, -1, 1] as [Int32]).map { key, value in
            var argument = grpc_arg()
            argument.type = GRPC_ARG_INTEGER
            argument.key = UnsafeMutableRawPointer(mutating: key.utf8Start).assumingMemoryBound(to: CChar.self)
            argument.value.integer = value
            return argument
        }
        let credentials = grpc_insecure_credentials_create()
        channel = arguments.withUnsafeMutableBufferPointer { list in
            var list = grpc_channel_args(num_args: list.count, args: list.baseAddress)
            return CoreObject(pointer: grpc_channel_create("unix:" + socket, credentials, &list))
        }
        grpc_channel_credentials_release(credentials)
        let queue = queue
        onThread {
            while true {
                let event = grpc_completion_queue_next(queue.pointer, gpr_inf_future(GPR_CLOCK_MONOTONIC), nil)
                if event.type == GRPC_QUEUE_SHUTDOWN { break }
                if let tag = event.tag { CompletionTag.complete(tag, succeeded: event.success != 0) }
            }
            grpc_completion_queue_destroy(queue.pointer)
        }
    }

    deinit {
        grpc_channel_destroy(channel.pointer)
        grpc_completion_queue_shutdown(queue.pointer)
    }

    func call(_ method: String) -> RPCTestCall {
        let name = grpc_slice_from_copied_string(method)
        let call = grpc_channel_create_call(
            channel.pointer, nil, 0, queue.pointer, name, nil,
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(60, GPR_TIMESPAN)), nil)
        grpc_slice_unref(name)
        guard let call else { preconditionFailure("no call") }
        return RPCTestCall(core: CoreObject(pointer: call), client: self)
    }

    func unary(_ method: String, _ request: [UInt8]) async -> (response: [UInt8]?, status: RPCStatus) {
        let call = call(method)
        call.begin()
        await call.send(request, last: true)
        let response = await call.receive()
        return (response, await call.status())
    }
}

/// One call of the client.
final class RPCTestCall: Sendable {
    private let core: CoreObject
    private let client: RPCTestClient

    init(core: CoreObject, client: RPCTestClient) {
        self.core = core
        self.client = client
    }

    deinit { grpc_call_unref(core.pointer) }

    private func batch(_ operations: [grpc_op], _ then: @escaping @Sendable (Bool) -> Void) {
        let tag = CompletionTag { [self] _, succeeded in
            withExtendedLifetime(self) { _ in }
            then(succeeded)
        }.handOver()
        let error = grpc_call_start_batch(core.pointer, operations, operations.count, tag, nil)
        precondition(error == GRPC_CALL_OK, "grpc_call_start_batch: \(error)")
    }

    func begin() {
        let metadata = CoreOutput(grpc_metadata_array()) { grpc_metadata_array_destroy($0) }
        grpc_metadata_array_init(metadata.pointer)
        var send = grpc_op()
        send.op = GRPC_OP_SEND_INITIAL_METADATA
        var receive = grpc_op()
        receive.op = GRPC_OP_RECV_INITIAL_METADATA
        receive.data.recv_initial_metadata.recv_initial_metadata = metadata.pointer
        batch([send]) { _ in }
        batch([receive]) { _ in withExtendedLifetime(metadata) {} }
    }

    func send(_ bytes: [UInt8]?, last: Bool) async {
        let message = bytes.map { OutgoingMessage($0) }
        var operations: [grpc_op] = []
        if let message {
            var operation = grpc_op()
            operation.op = GRPC_OP_SEND_MESSAGE
            operation.data.send_message.send_message = message.buffer
            operations.append(operation)
        }
        if last {
            var operation = grpc_op()
            operation.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT
            operations.append(operation)
        }
        await withUnsafeContinuation { (done: UnsafeContinuation<Void, Never>) in
            batch(operations) { _ in withExtendedLifetime(message) { done.resume() } }
        }
    }

    func receive() async -> [UInt8]? {
        let message = IncomingMessage.incoming()
        var operation = grpc_op()
        operation.op = GRPC_OP_RECV_MESSAGE
        operation.data.recv_message.recv_message = message.pointer
        return await withUnsafeContinuation { (done: UnsafeContinuation<[UInt8]?, Never>) in
            batch([operation]) { done.resume(returning: $0 ? message.bytes() : nil) }
        }
    }

    func status() async -> RPCStatus {
        let trailer = CoreOutput(grpc_metadata_array()) { grpc_metadata_array_destroy($0) }
        grpc_metadata_array_init(trailer.pointer)
        let code = CoreOutput<grpc_status_code>(GRPC_STATUS_OK)
        let text = CoreOutput(grpc_empty_slice()) { grpc_slice_unref($0.pointee) }
        var operation = grpc_op()
        operation.op = GRPC_OP_RECV_STATUS_ON_CLIENT
        operation.data.recv_status_on_client.trailing_metadata = trailer.pointer
        operation.data.recv_status_on_client.status = code.pointer
        operation.data.recv_status_on_client.status_details = text.pointer
        return await withUnsafeContinuation { (done: UnsafeContinuation<RPCStatus, Never>) in
            batch([operation]) { _ in
                let array = trailer.pointer.pointee
                var details: [UInt8]?
                for metadata in UnsafeBufferPointer(start: array.metadata, count: array.count)
                where String(slice: metadata.key) == "grpc-status-details-bin" {
                    var value = metadata.value
                    details = withUnsafePointer(to: &value) {
                        Array(UnsafeBufferPointer(start: exec2_slice_bytes($0), count: exec2_slice_length($0)))
                    }
                }
                done.resume(
                    returning: RPCStatus(
                        code: RPCCode(rawValue: code.pointer.pointee.rawValue) ?? .unknown,
                        message: String(slice: text.pointer.pointee), details: details))
            }
        }
    }

    func cancel() { grpc_call_cancel(core.pointer, nil) }
}
