@testable import Shared

/// A frame around any payload.
func frame(_ payload: [UInt8]) -> [UInt8] {
    framed { buffer in
        buffer.baseAddress?.advanced(by: Frame.headerSize).copyMemory(from: payload, byteCount: payload.count)
        return Frame.seal(buffer, payload: payload.count)
    }
}

func frame(_ request: ExecutorRequest, id: UInt64) -> [UInt8] {
    framed { request.encode(id: id, into: $0) }
}

func frame(_ event: ExecutorEvent, session: UInt64, replyTo: UInt64 = 0) -> [UInt8] {
    framed { event.encode(session: session, replyTo: replyTo, into: $0) }
}

private func framed(_ write: (UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer) -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { Array(write($0)) }
}

/// The payloads of the frames in `bytes`, and how many bytes belonged to none.
func scan(_ bytes: [UInt8]) -> (payloads: [[UInt8]], garbage: Int) {
    bytes.withUnsafeBytes { bytes in
        var scanner = FrameScanner()
        var payloads: [[UInt8]] = []
        while let payload = scanner.next(in: bytes) { payloads.append(Array(payload)) }
        return (payloads, scanner.garbage)
    }
}

/// Numbers that are the same in every run (splitmix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}
