import CLinux
import CMessages
import SharedEmbedded

/// Reads requests from the control pipe. Its buffers are made once: a request allocates nothing.
struct RequestReader {
    private let pipe: Int32
    /// As large as a pipe, so that one read(2) takes all and never splits a frame.
    private let bytes = UnsafeMutableRawBufferPointer(start: exec2_reserved(65536), count: 65536)
    private let arena: RequestArena

    init(pipe: Int32) {
        self.pipe = pipe
        arena = RequestArena()
    }

    /// Hands over every whole request in the pipe; bytes that are no request are dropped.
    func readAll(_ handle: (_ id: UInt64, _ request: ExecutorRequest?) -> Void) {
        while true {
            let count = retrying { read(pipe, bytes.baseAddress, bytes.count) }
            guard count > 0 else { return }
            let received = UnsafeRawBufferPointer(rebasing: bytes[..<count])
            var scanner = FrameScanner()
            while let payload = scanner.next(in: received) {
                arena.reset()
                let (id, request) = ExecutorRequest.decode(payload, allocator: arena.allocator)
                if id != 0 || request != nil { handle(id, request) }
            }
        }
    }
}

/// Memory for unpacking one request at a time: protobuf-c takes it from here instead of the heap.
private struct RequestArena {
    private struct Space {
        var start: UnsafeMutableRawPointer
        var used: Int
    }

    /// A frame's message with every field set needs less than four times its bytes.
    private static let capacity = 4 * Frame.maximumSize
    private let space: UnsafeMutablePointer<Space>
    let allocator: UnsafeMutablePointer<ProtobufCAllocator>

    init() {
        space = .allocate(capacity: 1)
        space.initialize(to: Space(start: exec2_reserved(Self.capacity), used: 0))
        allocator = .allocate(capacity: 1)
        allocator.initialize(
            to: ProtobufCAllocator(
                alloc: { context, size in
                    guard let space = context?.assumingMemoryBound(to: Space.self) else { return nil }
                    let rounded = (size + 15) & ~15
                    guard rounded >= size, rounded <= RequestArena.capacity - space.pointee.used else { return nil }
                    defer { space.pointee.used += rounded }
                    return space.pointee.start + space.pointee.used
                },
                free: { _, _ in },
                allocator_data: UnsafeMutableRawPointer(space)))
    }

    func reset() { space.pointee.used = 0 }
}
