import CLinux
import CMessages
import SharedEmbedded

/// A step of the launch that failed: which, why, and on what.
struct LaunchFailure: Error {
    let stage: LaunchStage
    let errno: Errno
    let subject: String

    init(_ stage: LaunchStage, _ errno: Errno, _ subject: String = "") {
        self.stage = stage
        self.errno = errno
        self.subject = subject
    }

    /// The stage failed with the error number that the last call left.
    init(_ stage: LaunchStage, _ subject: UnsafePointer<CChar>?) {
        errno = .last
        self.stage = stage
        self.subject = subject.map { String(cString: $0) } ?? ""
    }
}

/// The launch request as protobuf-c unpacked it, owned until `release`.
///
/// It arrives in memory: the Driver wrote it to a memfd, and its length to a pipe. Until the length
/// comes, an Executor started ahead waits in read(2).
struct LaunchRequest {
    typealias Message = Exec2__Executor__LaunchRequest

    /// Left by the Driver to a new Executor, beside /dev/null on 0, 1 and 2 and the memory. Only the Driver has its
    /// other end.
    private static let pipe: Int32 = 3

    let message: UnsafeMutablePointer<Message>

    /// Waits for a request; nil where none comes. Its memory stays open: the request outlives the Driver
    /// there, and is nowhere on disk.
    static func receive() -> LaunchRequest? {
        var length: UInt64 = 0
        // An attendant that stands by has a socket here, and the length comes with its command's descriptors.
        let count =
            exec2_tell(pipe) == 0
            ? Int(retrying { exec2_receive(pipe, &length, 8, AttendantDescriptor.leash) })
            : retrying { read(pipe, &length, 8) }
        guard count == 8, length > 0, length < UInt64(Int32.max) else { return nil }
        guard let message = unpack(LaunchMemory.descriptor, size: Int(length)) else { return nil }
        return LaunchRequest(message: message)
    }

    /// Unpacks the message in the first `size` bytes of memory (memfd_create(2)); nil if it is not valid.
    static func unpack(_ memory: Int32, size: Int) -> UnsafeMutablePointer<Message>? {
        // MAP_FAILED is a cast, which Swift does not import.
        guard let bytes = mmap(nil, size, PROT_READ, MAP_PRIVATE, memory, 0), Int(bitPattern: bytes) != -1 else {
            return nil
        }
        defer { _ = munmap(bytes, size) }
        return exec2__executor__launch_request__unpack(nil, size, bytes.assumingMemoryBound(to: UInt8.self))
    }

    /// Fails where the Driver that asked for the launch is gone. To be called behind the identity file and before the
    /// launch: whoever comes after that Driver then finds either the file, or a task that is not launched any more.
    /// The pipe is needed no longer.
    func checkLauncher() throws(LaunchFailure) {
        defer { Self.closePipe() }
        // A Driver of an earlier release closes its end at once.
        guard message.pointee.launch_pipe_is_held != 0 else { return }
        var wait = pollfd(fd: Self.pipe, events: Int16(POLLIN), revents: 0)
        guard retrying({ poll(&wait, 1, 0) }) == 0 else {
            throw LaunchFailure(.request, Errno(rawValue: ECANCELED), "of a driver that is gone")
        }
    }

    /// From here on this process ends as soon as the Driver's end of the pipe is closed, also where it waits for a file
    /// system that does not answer.
    static func endWithLauncher() throws(LaunchFailure) {
        guard exec2_end_with_writer(pipe) == 0 else { throw LaunchFailure(.supervision, .last, "exec2-template") }
        // In this order: it may be closed already.
        var wait = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
        guard retrying({ poll(&wait, 1, 0) }) == 0 else {
            throw LaunchFailure(.request, Errno(rawValue: ECANCELED), "of a driver that is gone")
        }
    }

    /// Waits until the Driver closes its end of the pipe; behind `endWithLauncher`.
    static func waitForLauncher() {
        var byte: UInt8 = 0
        while true {
            let count = retrying { read(pipe, &byte, 1) }
            if count == 0 { return }
            // Ended too soon, the process would take along what the Driver is about to open. The signal ends it.
            if count < 0 { _ = pause() }
        }
    }

    static func closePipe() { _ = close(pipe) }

    /// Refuses a request of a later version than this Executor knows: it would leave out in silence what
    /// that has added, volumes or rules, and start the task without.
    func checkVersion() throws(LaunchFailure) {
        let version = message.pointee.protocol
        guard version > LaunchVersion.newest else { return }
        throw LaunchFailure(
            .request, Errno(rawValue: EPROTONOSUPPORT),
            "of version " + String(version) + " (the Executor knows up to " + String(LaunchVersion.newest) + ")")
    }

    /// Gives the memory back: a running task's Executor needs nothing of its request.
    func release() {
        exec2__executor__launch_request__free_unpacked(message, nil)
        exec2_release_memory()
    }
}

extension UnsafeMutablePointer<CChar> {
    var isEmpty: Bool { pointee == 0 }
}
