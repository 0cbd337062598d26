import CLinux

/// A frame of the pipe protocol: two magic bytes, the payload's length in two bytes, its CRC-32 in
/// four, all little-endian, then the payload, one protobuf message.
///
/// A frame is at most PIPE_BUF bytes and is written by one write(2), so the kernel never mixes or
/// splits frames (pipe(7)). Whatever does not parse was written by somebody else, or was torn by a
/// hand: it is passed over, byte by byte, until the next frame.
public enum Frame {
    /// Bytes before the payload.
    public static let headerSize = 8
    /// PIPE_BUF of Linux.
    public static let maximumSize = 4096
    /// The largest message that a frame can bear, in bytes.
    public static let maximumPayload = maximumSize - headerSize
    static let magic: (UInt8, UInt8) = (0xE2, 0x45)

    /// The size of the sealed frame that bytes begin with; nil if they do not hold it whole.
    public static func size(of bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= headerSize else { return nil }
        let payload = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        return headerSize + payload <= bytes.count ? headerSize + payload : nil
    }

    /// Writes the header before a payload that already stands at `buffer[headerSize...]`.
    /// Returns the frame's bytes.
    public static func seal(_ buffer: UnsafeMutableRawBufferPointer, payload: Int) -> UnsafeRawBufferPointer {
        let body = UnsafeRawBufferPointer(rebasing: buffer[headerSize..<headerSize + payload])
        buffer[0] = magic.0
        buffer[1] = magic.1
        buffer.storeBytes(of: UInt16(payload).littleEndian, toByteOffset: 2, as: UInt16.self)
        buffer.storeBytes(of: CRC32.checksum(body).littleEndian, toByteOffset: 4, as: UInt32.self)
        return UnsafeRawBufferPointer(rebasing: buffer[..<(headerSize + payload)])
    }
}

/// Finds the frames in what was read from a pipe.
public struct FrameScanner: Sendable {
    private var offset = 0
    /// Bytes that belonged to no frame.
    public private(set) var garbage = 0

    /// At the beginning of the bytes.
    public init() {}

    /// The payload of the next frame in `bytes`, or nil at their end. Call with the same bytes.
    public mutating func next(in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        while offset < bytes.count {
            if let payload = frame(at: offset, in: bytes) {
                offset += Frame.headerSize + payload.count
                return payload
            }
            offset += 1
            garbage += 1
        }
        return nil
    }

    private func frame(at start: Int, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard bytes.count - start >= Frame.headerSize,
            bytes[start] == Frame.magic.0, bytes[start + 1] == Frame.magic.1
        else { return nil }
        let length = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 2, as: UInt16.self)))
        let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self))
        let bodyStart = start + Frame.headerSize
        guard length <= Frame.maximumPayload, bytes.count - bodyStart >= length else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[bodyStart..<bodyStart + length])
        return CRC32.checksum(body) == checksum ? body : nil
    }
}
