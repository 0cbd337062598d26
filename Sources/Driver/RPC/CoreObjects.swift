import CGRPC
import Synchronization

/// A pointer to an object of gRPC's C core that may be used from any thread.
///
/// `@unchecked Sendable`: grpc.h documents servers, calls and completion queues as thread-safe; the
/// pointer itself never changes.
struct CoreObject: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// What a completion queue hands back when an operation has ended: the action to take then.
final class CompletionTag: Sendable {
    /// What is done with the tag itself: it may be handed over again.
    typealias Action = @Sendable (_ tag: CompletionTag, _ succeeded: Bool) -> Void

    private let action: Action
    /// Orders what the starting thread wrote before what the queue's thread reads. gRPC orders the
    /// two anyway, by locks that thread sanitizers cannot see.
    private let handedOver = Atomic<Bool>(false)

    init(_ action: @escaping Action) {
        self.action = action
    }

    /// The tag as gRPC takes it; it stays alive until `complete` or `takeBack`.
    func handOver() -> UnsafeMutableRawPointer {
        handedOver.store(true, ordering: .releasing)
        return Unmanaged.passRetained(self).toOpaque()
    }

    /// Releases a tag that gRPC refused and so will never hand back.
    static func takeBack(_ tag: UnsafeMutableRawPointer) {
        Unmanaged<CompletionTag>.fromOpaque(tag).release()
    }

    /// Runs the action of a tag that came out of the queue.
    static func complete(_ tag: UnsafeMutableRawPointer, succeeded: Bool) {
        let tag = Unmanaged<CompletionTag>.fromOpaque(tag).takeRetainedValue()
        _ = tag.handedOver.load(ordering: .acquiring)
        tag.action(tag, succeeded)
    }
}

/// A value on the heap that gRPC writes while an operation is under way, freed with its last owner.
///
/// `@unchecked Sendable`: between start and completion only gRPC touches the value; before, only the
/// thread that starts the operation, after, only the one thread of the completion queue.
final class CoreOutput<Value>: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Value>
    private let dispose: (UnsafeMutablePointer<Value>) -> Void

    init(_ value: Value, dispose: @escaping (UnsafeMutablePointer<Value>) -> Void = { _ in }) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: value)
        self.dispose = dispose
    }

    deinit {
        dispose(pointer)
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}

/// A message on its way out, in gRPC's own memory.
///
/// `@unchecked Sendable`: the buffer is only read by gRPC after it was made, and freed once.
final class OutgoingMessage: @unchecked Sendable {
    let buffer: UnsafeMutablePointer<grpc_byte_buffer>

    init(_ bytes: [UInt8]) {
        buffer = bytes.withUnsafeBytes { exec2_byte_buffer_from_bytes($0.baseAddress, $0.count) }
    }

    deinit { grpc_byte_buffer_destroy(buffer) }
}

/// A received message: gRPC fills the pointer in, `bytes` copies it out once.
typealias IncomingMessage = CoreOutput<UnsafeMutablePointer<grpc_byte_buffer>?>

extension CoreOutput where Value == UnsafeMutablePointer<grpc_byte_buffer>? {
    static func incoming() -> IncomingMessage {
        IncomingMessage(nil) { grpc_byte_buffer_destroy($0.pointee) }
    }

    /// The message, or nil when the stream ended (or broke) before one came.
    func bytes() -> [UInt8]? {
        guard let buffer = pointer.pointee else { return nil }
        var reader = grpc_byte_buffer_reader()
        guard grpc_byte_buffer_reader_init(&reader, buffer) != 0 else { return nil }
        defer { grpc_byte_buffer_reader_destroy(&reader) }
        let length = grpc_byte_buffer_length(reader.buffer_out)
        return [UInt8](unsafeUninitializedCapacity: length) { target, filled in
            var slice: UnsafeMutablePointer<grpc_slice>?
            while grpc_byte_buffer_reader_peek(&reader, &slice) != 0, let slice {
                let count = exec2_slice_length(slice)
                guard count > 0, filled + count <= length else { continue }
                UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[filled...])
                    .copyMemory(from: UnsafeRawBufferPointer(start: exec2_slice_bytes(slice), count: count))
                filled += count
            }
        }
    }
}

extension String {
    /// The text of a slice; ill-formed UTF-8 is repaired.
    init(slice: grpc_slice) {
        var slice = slice
        self = withUnsafePointer(to: &slice) { slice in
            String(
                decoding: UnsafeBufferPointer(start: exec2_slice_bytes(slice), count: exec2_slice_length(slice)),
                as: UTF8.self)
        }
    }
}
