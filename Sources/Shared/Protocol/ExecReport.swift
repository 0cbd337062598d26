import CLinux
import CMessages

/// What the attendant of a command in a running task finds open beside the launch request (/dev/null at
/// 0 to 2, the request's pipe and memory at 3 and 4). An attendant that stands by has only 0 to 4, and 3 is a socket. It
/// receives the descriptors below in one message with its request, in the order of their numbers.
public enum AttendantDescriptor {
    /// The reading end of a pipe whose other end is the Driver's: when that closes, the command is killed.
    public static let leash: Int32 = 5
    /// Where the attendant writes its one `ExecReport`.
    public static let report: Int32 = 6
    /// The command's.
    public static let stdin: Int32 = 7
    /// The command's.
    public static let stdout: Int32 = 8
    /// The command's.
    public static let stderr: Int32 = 9
    /// A pidfd of the task's main process.
    public static let task: Int32 = 10
    /// The task's Landlock ruleset, where the task has a root of its own.
    public static let ruleset: Int32 = 11
}

/// How a command in a running task ended.
public enum ExecReport: Sendable {
    /// The exit code, and the signal that ended it or 0. A command that could not be executed has ended
    /// with 126 or 127. `passedOver` are the task's rules that it was run without, and why, or "".
    case ended(exitCode: Int32, signal: Int32, passedOver: String = "")
    /// It was never executed. The stage is a `LaunchStage`.
    case failed(stage: UInt32, errno: Errno, subject: String)

    /// Writes the frame of this report into `buffer` (of `Frame.maximumSize` bytes).
    public func encode(into buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        var message = Exec2__Executor__ExecReport()
        exec2__executor__exec_report__init(&message)
        switch self {
        case .ended(let exitCode, let signal, let passedOver):
            var ended = Exec2__Executor__ExecEnded()
            exec2__executor__exec_ended__init(&ended)
            ended.exit_code = exitCode
            ended.signal = signal
            return withCopiedCString(of: passedOver, limit: ExecutorEvent.maximumSubject) { text in
                ended.passed_over = text
                return withUnsafeMutablePointer(to: &ended) { pointer in
                    message.body_case = EXEC2__EXECUTOR__EXEC_REPORT__BODY_ENDED
                    message.ended = pointer
                    return pack(&message.base, into: buffer)
                }
            }
        case .failed(let stage, let errno, let subject):
            return withLaunchFailed(stage, errno, subject) { pointer in
                message.body_case = EXEC2__EXECUTOR__EXEC_REPORT__BODY_FAILED
                message.failed = pointer
                return pack(&message.base, into: buffer)
            }
        }
    }

    /// Reads a frame's payload; nil where it is no report.
    public static func decode(_ payload: UnsafeRawBufferPointer) -> ExecReport? {
        let bytes = payload.bindMemory(to: UInt8.self)
        guard let message = exec2__executor__exec_report__unpack(nil, bytes.count, bytes.baseAddress) else {
            return nil
        }
        defer { exec2__executor__exec_report__free_unpacked(message, nil) }
        switch message.pointee.body_case {
        case EXEC2__EXECUTOR__EXEC_REPORT__BODY_ENDED:
            guard let ended: UnsafeMutablePointer<Exec2__Executor__ExecEnded> = message.pointee.ended else {
                return nil
            }
            return .ended(
                exitCode: ended.pointee.exit_code, signal: ended.pointee.signal,
                passedOver: String(cString: ended.pointee.passed_over))
        case EXEC2__EXECUTOR__EXEC_REPORT__BODY_FAILED:
            return contents(ofLaunchFailed: message.pointee.failed).map {
                .failed(stage: $0.stage, errno: $0.errno, subject: $0.subject)
            }
        default:
            return nil
        }
    }
}

// Comparing strings takes the Unicode tables, 90 KiB that an Executor has no use for.
#if !EMBEDDED
    extension ExecReport: Equatable {}
#endif
