import CLinux
import CMessages

// What messages to and from Executors, attendants' reports and exit records have in common.

extension ExecutorEvent {
    /// Longest subject of a failed launch that fits a frame beside the other fields, in bytes.
    static let maximumSubject = 3072
}

/// Lends the message of a launch that failed.
func withLaunchFailed<Result>(
    _ stage: UInt32, _ errno: Errno, _ subject: String,
    _ body: (UnsafeMutablePointer<Exec2__Executor__LaunchFailed>) -> Result
) -> Result {
    var failed = Exec2__Executor__LaunchFailed()
    exec2__executor__launch_failed__init(&failed)
    failed.stage = stage
    failed.error = errno.rawValue
    return withCopiedCString(of: subject, limit: ExecutorEvent.maximumSubject) { text in
        failed.subject = text
        return withUnsafeMutablePointer(to: &failed, body)
    }
}

/// The contents of the message that a launch has failed; nil if it is missing.
func contents(
    ofLaunchFailed message: UnsafeMutablePointer<Exec2__Executor__LaunchFailed>?
) -> (stage: UInt32, errno: Errno, subject: String)? {
    guard let message else { return nil }
    return (
        message.pointee.stage, Errno(rawValue: message.pointee.error), String(cString: message.pointee.subject)
    )
}

/// Packs behind room for the frame's header, and seals the frame.
func pack(
    _ message: UnsafeMutablePointer<ProtobufCMessage>, into buffer: UnsafeMutableRawBufferPointer
) -> UnsafeRawBufferPointer {
    let size = protobuf_c_message_get_packed_size(message)
    guard let start = buffer.baseAddress, size <= Frame.maximumPayload else {
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    _ = protobuf_c_message_pack(message, (start + Frame.headerSize).assumingMemoryBound(to: UInt8.self))
    return Frame.seal(buffer, payload: size)
}

/// Lends a NUL-terminated copy of at most `limit` bytes, cut at a character's border.
func withCopiedCString<Result>(
    of text: String, limit: Int, _ body: (UnsafeMutablePointer<CChar>) -> Result
) -> Result {
    var bytes: [CChar] = []
    for byte in text.utf8 { bytes.append(CChar(bitPattern: byte)) }
    if bytes.count > limit {
        var end = limit
        while end > 0 && UInt8(bitPattern: bytes[end]) & 0xC0 == 0x80 { end -= 1 }
        bytes.removeLast(bytes.count - end)
    }
    bytes.append(0)
    return bytes.withUnsafeMutableBufferPointer { buffer in
        guard let start = buffer.baseAddress else { fatalError("an array with a terminator has an address") }
        return body(start)
    }
}
