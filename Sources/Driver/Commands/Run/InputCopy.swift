import CLinux
import EventLoop
import Glibc
import Shared

/// Copies the tool's stdin to the command's as it comes: to a pipe, or to a terminal. On a thread of its own, since
/// reading may wait for as long as whoever writes likes.
///
/// By the copy the command reaches what comes through the tool's stdin, and never the file or the terminal itself.
final class InputCopy: Sendable {
    private let destination: Mutex<OwnedDescriptor?>
    private let wakeup: OwnedDescriptor
    private let isTerminal: Bool
    /// The reading end of the command's pipe where stdin is a file, so that what is left in there can be given back.
    /// Number −1: stdin is something else.
    private let reader: OwnedDescriptor
    /// How many bytes were read and not written.
    private let leftOver = OneShot<Int>()

    /// Whether stdin has a position: a file's has, and more than one process may read on from it.
    static var isFile: Bool { lseek(STDIN_FILENO, 0, SEEK_CUR) >= 0 }

    /// Begins.
    /// - Parameters:
    ///   - destination: Non-blocking. A pipe is closed at the end of the input; a terminal's input has no end but what
    ///     is typed into it.
    ///   - reader: The pipe's other end, where stdin is a file; else one of number −1.
    init(
        to destination: consuming OwnedDescriptor, isTerminal: Bool, reader: consuming OwnedDescriptor
    ) throws(SystemError) {
        self.destination = Mutex(destination)
        self.isTerminal = isTerminal
        self.reader = reader
        let wakeup = exec2_eventfd()
        guard wakeup >= 0 else { throw SystemError("create", "an eventfd") }
        self.wakeup = OwnedDescriptor(owning: wakeup)
        try DetachedThread.start("a thread that copies the input", stackSize: 256 * 1024) { [self] in run() }
    }

    /// Ends the copy, when the command is gone. What the command has not read of a file is there for those who read
    /// on from it, as if the command had had the file itself.
    func finish() async {
        var one: UInt64 = 1
        _ = write(wakeup.number, &one, 8)
        // Reading from anything else may wait for ever.
        guard reader.number >= 0, let rest = await leftOver.wait() else { return }
        let unread = rest + Int(exec2_unread(reader.number))
        if unread > 0 { lseek(STDIN_FILENO, -unread, SEEK_CUR) }
    }

    private func run() {
        guard let destination = destination.withLock({ $0.take() }) else { return }
        leftOver.set(copy(to: destination))
    }

    /// Copies until the end of the input, until the pipe has no reader, or until `finish`. Returns how many bytes that
    /// were read could not be written.
    private func copy(to destination: consuming OwnedDescriptor) -> Int {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        let number = destination.number
        while wait(for: pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0), number) {
            let count = retrying { read(STDIN_FILENO, buffer.baseAddress, buffer.count) }
            // Another process may have taken what was there from a stream that is non-blocking.
            if count < 0 && Errno.last == .wouldBlock { continue }
            guard count > 0 else { break }
            var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            while !rest.isEmpty {
                let written = retrying { write(number, rest.baseAddress, rest.count) }
                if written >= 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                } else if Errno.last != .wouldBlock
                    || !wait(for: pollfd(fd: number, events: Int16(POLLOUT), revents: 0), number)
                {
                    return rest.count
                }
            }
        }
        // A terminal stays open: its hang-up would end the command.
        if isTerminal { _ = wait(for: pollfd(fd: -1, events: 0, revents: 0), number) }
        return 0
    }

    /// Waits for a descriptor. False after `finish`, or if the pipe has no reader any more.
    private func wait(for descriptor: pollfd, _ destination: Int32) -> Bool {
        var waits = [
            descriptor, pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: destination, events: 0, revents: 0),
        ]
        _ = retrying { poll(&waits, 3, -1) }
        return waits[1].revents == 0 && waits[2].revents == 0
    }
}
