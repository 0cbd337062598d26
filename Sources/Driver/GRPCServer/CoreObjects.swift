import CGRPC
import EventLoop

import struct Synchronization.Atomic

/// A pointer to an object of gRPC's C core that may be used from any thread.
///
/// `@unchecked Sendable`: grpc.h documents servers, calls and completion queues as thread-safe; the
/// pointer itself never changes.
struct CoreObject: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// What gRPC hands back when an operation has ended: the action to take then.
final class CompletionTag: Sendable {
    /// What is done with the tag itself: it may be handed over again.
    typealias Action = @Sendable (_ tag: CompletionTag, _ succeeded: Bool) -> Void

    private let reactor: Reactor?
    private let action: Action
    /// Orders what the starting thread wrote before what the completing thread reads. gRPC orders the
    /// two anyway, by locks that thread sanitizers cannot see.
    private let handedOver = Atomic<Bool>(false)

    /// - Parameter reactor: On whose thread the action is taken: that of an operation of a ReactorMethod's call. Nil:
    ///   on the thread of the completion queue.
    init(on reactor: Reactor? = nil, _ action: @escaping Action) {
        self.reactor = reactor
        self.action = action
    }

    /// The tag as gRPC takes it; it stays alive until it was completed or `takeBack`.
    func handOver() -> UnsafeMutableRawPointer {
        handedOver.store(true, ordering: .releasing)
        let tag = Unmanaged.passRetained(self).toOpaque()
        guard reactor != nil else { return tag }
        let called = UnsafeMutablePointer<exec2_called_tag>.allocate(capacity: 1)
        called.initialize(to: exec2_called_tag(functor: Self.functor, tag: tag))
        return UnsafeMutableRawPointer(called)
    }

    /// Releases what `handOver` gave and gRPC refused, and so will never hand back.
    func takeBack(_ handed: UnsafeMutableRawPointer) {
        let tag = reactor == nil ? handed : Self.release(handed)
        Unmanaged<CompletionTag>.fromOpaque(tag).release()
    }

    /// Runs the action of a tag that came out of the queue.
    static func complete(_ tag: UnsafeMutableRawPointer, succeeded: Bool) {
        let tag = Unmanaged<CompletionTag>.fromOpaque(tag).takeRetainedValue()
        _ = tag.handedOver.load(ordering: .acquiring)
        tag.action(tag, succeeded)
    }

    /// Only hands over to the reactor: gRPC calls it from any thread, and within the call that started the operation
    /// too, for which the caller holds a lock.
    private static var functor: grpc_completion_queue_functor {
        var functor = grpc_completion_queue_functor()
        functor.inlineable = 1
        functor.functor_run = { functor, succeeded in
            guard let functor else { return }
            let pointer = CompletionTag.release(UnsafeMutableRawPointer(functor))
            let tag = Unmanaged<CompletionTag>.fromOpaque(pointer).takeRetainedValue()
            _ = tag.handedOver.load(ordering: .acquiring)
            tag.reactor?.perform { tag.action(tag, succeeded != 0) }
        }
        return functor
    }

    /// Frees the structure that gRPC was given, and answers the tag in it.
    private static func release(_ handed: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        let called = handed.assumingMemoryBound(to: exec2_called_tag.self)
        defer { called.deallocate() }
        return called.pointee.tag
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
