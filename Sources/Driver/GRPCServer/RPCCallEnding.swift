import CGRPC

/// The last operations of a call and the memory gRPC reads until they have completed: the response
/// of a unary call, if any, and the status, in one batch and so in one write to the socket.
///
/// `@unchecked Sendable`: nothing changes after `init`; freed with its last owner.
final class Ending: @unchecked Sendable {
    private let message: OutgoingMessage?
    private let statusText: UnsafeMutablePointer<grpc_slice>
    private let trailer: UnsafeMutablePointer<grpc_metadata>?
    private let code: RPCCode
    private static let detailsKey: StaticString = "grpc-status-details-bin"

    init(_ result: Result<[UInt8]?, RPCStatus>) {
        var text = ""
        var details: [UInt8]?
        switch result {
        case .success(let response):
            code = .ok
            message = response.map { OutgoingMessage($0) }
        case .failure(let status):
            code = status.code
            message = nil
            text = RPCStatus.clipped(status.message)
            details = status.details
        }
        statusText = .allocate(capacity: 1)
        statusText.initialize(to: grpc_slice_from_copied_string(text))
        trailer = details.map { details in
            var metadata = grpc_metadata()
            // gRPC keeps the pointer, which a string passed as an argument would not outlive.
            metadata.key = grpc_slice_from_static_buffer(
                UnsafeRawPointer(Self.detailsKey.utf8Start), Self.detailsKey.utf8CodeUnitCount)
            metadata.value = details.withUnsafeBytes {
                grpc_slice_from_copied_buffer($0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
            }
            let trailer = UnsafeMutablePointer<grpc_metadata>.allocate(capacity: 1)
            trailer.initialize(to: metadata)
            return trailer
        }
    }

    deinit {
        grpc_slice_unref(statusText.pointee)
        statusText.deallocate()
        if let trailer {
            grpc_slice_unref(trailer.pointee.value)
            trailer.deallocate()
        }
    }

    /// Valid as long as this object lives.
    var operations: [grpc_op] {
        var operations: [grpc_op] = []
        if let message {
            var operation = grpc_op()
            operation.op = GRPC_OP_SEND_MESSAGE
            operation.data.send_message.send_message = message.buffer
            operations.append(operation)
        }
        var operation = grpc_op()
        operation.op = GRPC_OP_SEND_STATUS_FROM_SERVER
        operation.data.send_status_from_server.status = grpc_status_code(code.rawValue)
        operation.data.send_status_from_server.status_details = statusText
        if let trailer {
            operation.data.send_status_from_server.trailing_metadata_count = 1
            operation.data.send_status_from_server.trailing_metadata = trailer
        }
        operations.append(operation)
        return operations
    }

    /// Called on completion, so that the completion owns this object until then.
    func keep() {}
}
