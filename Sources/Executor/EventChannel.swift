import CLinux
import CMessages
import SharedEmbedded

/// The two FIFOs to and from the Driver, and the session that events are sent in.
///
/// Both are held open for reading and writing: a missing Driver is then neither an error nor a
/// SIGPIPE, and requests of a Driver to come are never lost.
final class EventChannel {
    let directory: Int32
    let control: Int32
    let events: Int32
    var session: UInt64
    private let frame: UnsafeMutableRawBufferPointer
    /// Frames that the pipe had no room for, oldest first.
    private let late = UnsafeMutableRawBufferPointer(
        start: exec2_reserved(4 * Frame.maximumSize), count: 4 * Frame.maximumSize)
    private var lateCount = 0

    private init(directory: Int32, control: Int32, events: Int32, session: UInt64) {
        self.directory = directory
        self.control = control
        self.events = events
        self.session = session
        frame = UnsafeMutableRawBufferPointer(start: exec2_reserved(Frame.maximumSize), count: Frame.maximumSize)
    }

    /// Opens the FIFOs in the task's state directory. Without them the Executor cannot report anything: it
    /// ends, and the Driver says so with the directory's name.
    static func open(for request: LaunchRequest) -> EventChannel? {
        guard let path = request.message.pointee.task_state_dir else { return nil }
        let directory = exec2_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard directory >= 0, let control = openPipe("control", in: directory),
            let events = openPipe("events", in: directory)
        else { return nil }
        return EventChannel(
            directory: directory, control: control, events: events, session: request.message.pointee.session)
    }

    private static func openPipe(_ name: UnsafePointer<CChar>, in directory: Int32) -> Int32? {
        let number = exec2_openat(directory, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0)
        var facts = exec2_file_facts()
        guard number >= 0, exec2_fstat(number, &facts) == 0, facts.type == EXEC2_FILE_FIFO else { return nil }
        return number
    }

    /// Whether frames wait for room in the pipe: to be watched for POLLOUT, then `catchUp`.
    var isBehind: Bool { lateCount > 0 }

    /// Sends an event. Where the pipe is full, somebody else's bytes in it perhaps, it waits; where even
    /// that has no room, no Driver reads, and the event is dropped: nothing that matters exists only as
    /// an event.
    func send(_ event: ExecutorEvent, replyTo request: UInt64 = 0) {
        let bytes = event.encode(session: session, replyTo: request, into: frame)
        guard bytes.count > 0 else { return }
        if !isBehind && put(bytes) { return }
        guard bytes.count <= late.count - lateCount else { return }
        UnsafeMutableRawBufferPointer(rebasing: late[lateCount...]).copyMemory(from: bytes)
        lateCount += bytes.count
    }

    /// Sends what waits, one frame at a time, so that each stays whole.
    func catchUp() {
        while let size = Frame.size(of: UnsafeRawBufferPointer(rebasing: late[..<lateCount])) {
            guard put(UnsafeRawBufferPointer(rebasing: late[..<size])) else {
                // A pipe that is writable and takes nothing would be tried again and again.
                if Errno.last != .wouldBlock { lateCount = 0 }
                return
            }
            lateCount -= size
            guard let start = late.baseAddress else { return }
            memmove(start, start + size, lateCount)
        }
        lateCount = 0
    }

    private func put(_ bytes: UnsafeRawBufferPointer) -> Bool {
        retrying { write(events, bytes.baseAddress, bytes.count) } == bytes.count
    }
}
