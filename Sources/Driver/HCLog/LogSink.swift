import Glibc
import Shared

/// Writes whole lines to a descriptor that may have no reader or a slow one: a line that does not fit
/// right now is dropped and counted. Never blocks, never fails; SIGPIPE must be ignored.
package final class LogSink: Sendable {
    private let descriptor: Int32
    /// Lines dropped since the last one that was written. Its lock also keeps two threads from both
    /// seeing the same free space in the pipe.
    private let dropped = Mutex<Int>(0)

    package static let standardError = LogSink(descriptor: 2)

    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Writes what `line` makes; it is given the number of lines dropped before.
    func write(_ line: (_ dropped: Int) -> [UInt8]) {
        dropped.withLock { dropped in
            let bytes = line(dropped)
            if isWritable(), writeOnce(bytes) { dropped = 0 } else { dropped += 1 }
        }
    }

    /// O_NONBLOCK would do as well, but it belongs to the open file, which the agent and others may
    /// share. A pipe that polls as writable has room for PIPE_BUF bytes.
    private func isWritable() -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) == 1 && Int32(entry.revents) & POLLOUT != 0
    }

    private func writeOnce(_ bytes: [UInt8]) -> Bool {
        while true {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            return count == bytes.count
        }
    }
}
