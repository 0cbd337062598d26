import CLinux
import EventLoop
import Glibc
import Shared

import struct Synchronization.Atomic

/// Copies one of the task's log pipes, or its terminal, to a stream of the tool's as it comes. On a thread of its own,
/// since the stream may block for as long as its reader likes.
final class OutputCopy: Sendable {
    private let pipe: OwnedDescriptor
    private let wakeup: OwnedDescriptor
    private let stream: Int32
    /// Set once nothing can come into the pipe any more.
    private let isLast = Atomic(false)
    private let done = OneShot<Void>()
    private let onFailure: @Sendable (Errno) -> Void

    /// Opens the pipe and begins.
    convenience init(
        _ path: String, to stream: Int32, onFailure: @escaping @Sendable (Errno) -> Void
    ) throws(SystemError) {
        // For writing too: so there is always a writer, and no end of file before the task has begun.
        try self.init(
            try OwnedDescriptor.open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW), to: stream, onFailure: onFailure)
    }

    /// Begins.
    /// - Parameters:
    ///   - pipe: Non-blocking; a pipe, or a terminal that somebody keeps open until the end.
    ///   - stream: A descriptor that stays open.
    ///   - onFailure: Called once, when the stream takes no more; the pipe is emptied all the same, so that
    ///     the task does not wait.
    init(
        _ pipe: consuming OwnedDescriptor, to stream: Int32, onFailure: @escaping @Sendable (Errno) -> Void
    ) throws(SystemError) {
        self.pipe = pipe
        let wakeup = exec2_eventfd()
        guard wakeup >= 0 else { throw SystemError("create", "an eventfd") }
        self.wakeup = OwnedDescriptor(owning: wakeup)
        self.stream = stream
        self.onFailure = onFailure
        try DetachedThread.start("a thread that copies the output", stackSize: 256 * 1024) { [self] in run() }
    }

    /// Waits until all that is in the pipe is copied. To be called when every writer is gone.
    func finish() async {
        isLast.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = write(wakeup.number, &one, 8)
        _ = await done.wait()
    }

    /// Makes `finish` return without the rest.
    func giveUp() { done.set(()) }

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        var hasFailed = false
        while true {
            // Asked before the pipe is emptied: what came until then is copied.
            let last = isLast.load(ordering: .acquiring)
            empty(buffer, &hasFailed)
            if last { break }
            var waits = [
                pollfd(fd: pipe.number, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0),
            ]
            poll(&waits, 2, -1)
        }
        done.set(())
    }

    private func empty(_ buffer: UnsafeMutableRawBufferPointer, _ hasFailed: inout Bool) {
        while true {
            let count = retrying { read(pipe.number, buffer.baseAddress, buffer.count) }
            guard count > 0 else { return }
            if hasFailed { continue }
            if let error = Console.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: stream) {
                hasFailed = true
                onFailure(error)
            }
        }
    }
}
