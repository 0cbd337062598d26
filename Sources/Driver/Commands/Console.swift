import CLinux
import EventLoop
import Glibc
import Shared

/// The standard streams of the tool.
enum Console {
    /// Puts /dev/null in the place of a stdout or stderr that is open, but not for writing: it takes nothing, as one
    /// that the caller has closed (Sources/CStartup).
    static func replaceUnwritableStreams() {
        for stream in [STDOUT_FILENO, STDERR_FILENO] where exec2_is_unwritable(stream) != 0 {
            // The lowest number that is free, and all below are taken.
            close(stream)
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// Whether stdout is a terminal that has colours, and NO_COLOR is not set (no-color.org).
    static var hasColour: Bool {
        if let wish = getenv("NO_COLOR"), wish.pointee != 0 { return false }
        if let kind = getenv("TERM"), strcmp(kind, "dumb") == 0 { return false }
        return isatty(STDOUT_FILENO) == 1
    }

    static let output = RememberingStream(STDOUT_FILENO)

    /// Writes to stdout. What could not be written makes `status` fail.
    static func write(_ text: String) { output.write(text) }

    /// The tool's exit status where its work had this one: what it has to say is its work as well. A reader that has left does
    /// not want to know.
    static func status(_ status: Int32) -> Int32 {
        guard let failure = output.failure else { return status }
        complain("cannot write to stdout: \(failure.text)")
        return status == 0 ? CommandLineTool.ExitStatus.failure : status
    }

    /// One line on stderr that says what went wrong and who says so.
    ///
    /// What is quoted of a command line comes out as the bytes that it was (`ByteText`).
    static func complain(_ sentence: String) {
        let bytes = ByteText.bytes("nomad-driver-exec2: \(sentence)\n")
        _ = bytes.withUnsafeBytes { writeAll($0, to: STDERR_FILENO) }
    }

    /// Writes all bytes, however long the reader takes, on a thread that may wait; the error that ended it, which is
    /// ECANCELED where the Swift task is cancelled first, or nil.
    static func writeAll(_ bytes: [UInt8], to descriptor: Int32) async -> Errno? {
        let result = await BlockingPool.shared.result(of: { bytes.withUnsafeBytes { writeAll($0, to: descriptor) } })
        return result ?? Errno(rawValue: ECANCELED)
    }

    /// Writes all bytes, however long the reader takes; the error that ended it, or nil.
    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Errno? {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = retrying { Glibc.write(descriptor, part.baseAddress, part.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if Errno.last == .wouldBlock {
                // Somebody who shares the stream has made it non-blocking.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
            } else {
                return .last
            }
        }
        return nil
    }
}
