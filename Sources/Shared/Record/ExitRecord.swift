import CLinux
import CMessages

/// How a task ended: the truth of it, on disk in the task's state directory as `exit`.
public struct ExitRecord: Sendable {
    /// Name of the task's state directory, so that a record cannot stand for another task.
    public var taskDirectory: String
    /// What the main process returned; 128 + n where signal n ended it.
    public var exitCode: Int32
    /// The signal that ended the main process, or 0.
    public var signal: Int32
    /// The kernel's OOM killer ended a process of the task.
    public var oomKilled: Bool
    /// Nanoseconds since the epoch.
    public var startedAt: Int64
    /// When the main process ended, in nanoseconds since the epoch.
    public var endedAt: Int64
    /// The main process, as the host numbered it.
    public var pid: Int32
    /// Processor time of the main process and its reaped children, in microseconds.
    public var userTime: Int64
    /// As `userTime`, spent in the kernel.
    public var systemTime: Int64
    /// Greatest resident set of one of them, in KiB.
    public var maxRSS: Int64
    /// Why no program could be run, or nil; and which program that speaks of.
    public var execError: Errno?
    /// The program that `execError` speaks of; empty without one.
    public var execProgram: String
    /// Processes were left that SIGKILL had not ended when the record was written.
    public var survivors: Bool
    /// Where the kernel has killed for memory: the limit of the task's cgroup in bytes, as far as known.
    public var memoryLimit: UInt64?
    /// As `memoryLimit`: the most that was used.
    public var memoryPeak: UInt64?
    /// As `endedAt`, in nanoseconds since the boot (CLOCK_BOOTTIME), a clock that cannot be set; nil if an Executor
    /// of an earlier release wrote the record.
    public var endedSinceBoot: Int64?

    /// Every fact of a task's end; what is not given did not happen.
    public init(
        taskDirectory: String, exitCode: Int32, signal: Int32, oomKilled: Bool, startedAt: Int64, endedAt: Int64,
        pid: Int32, userTime: Int64 = 0, systemTime: Int64 = 0, maxRSS: Int64 = 0, execError: Errno? = nil,
        execProgram: String = "", survivors: Bool = false, memoryLimit: UInt64? = nil, memoryPeak: UInt64? = nil,
        endedSinceBoot: Int64? = nil
    ) {
        self.taskDirectory = taskDirectory
        self.exitCode = exitCode
        self.signal = signal
        self.oomKilled = oomKilled
        self.startedAt = startedAt
        self.endedAt = endedAt
        self.pid = pid
        self.userTime = userTime
        self.systemTime = systemTime
        self.maxRSS = maxRSS
        self.execError = execError
        self.execProgram = execProgram
        self.survivors = survivors
        self.memoryLimit = memoryLimit
        self.memoryPeak = memoryPeak
        self.endedSinceBoot = endedSinceBoot
    }
}

// Comparing strings takes the Unicode tables, 90 KiB that an Executor has no use for.
#if !EMBEDDED
    extension ExitRecord: Equatable {}
#endif

/// Why an exit record cannot be believed.
public enum ExitRecordDamage: Error, Equatable, Sendable {
    case tooShort(bytes: Int)
    case notARecord
    case newerFormat(version: UInt32)
    case lengthMismatch
    case checksumMismatch
    case undecodable

    /// The damage as a sentence's end.
    public var text: String {
        switch self {
        case .tooShort(let bytes): "the exit record is cut off after " + String(bytes) + " bytes"
        case .notARecord: "the file is not an exit record"
        case .newerFormat(let version): "the exit record has the unknown format version " + String(version)
        case .lengthMismatch: "the exit record's length does not match its header"
        case .checksumMismatch: "the exit record is damaged: its checksum does not match"
        case .undecodable: "the exit record's content cannot be decoded"
        }
    }
}

extension ExitRecord {
    /// Bytes reserved for a record at launch, so that it can be written on a full disk; no record is
    /// larger.
    public static let reservedSize = 4096
    private static let headerSize = 20
    private static let magic: StaticString = "EXEC2END"
    private static let version: UInt32 = 1
    /// Names and paths that a record bears are cut at this many bytes.
    private static let maximumText = 1500

    /// The record's file content, written into `buffer` (of `reservedSize` bytes): magic, version,
    /// length and CRC-32 of the message, little-endian, then the message.
    public func encode(into buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        withMessage { Self.seal($0, into: buffer) }
    }

    /// Lends the message of the record. Packed it takes no more than 3500 bytes, which fits in a frame.
    func withMessage<Result>(_ body: (UnsafeMutablePointer<Exec2__Executor__ExitRecord>) -> Result) -> Result {
        var message = Exec2__Executor__ExitRecord()
        exec2__executor__exit_record__init(&message)
        message.exit_code = exitCode
        message.signal = signal
        message.oom_killed = oomKilled ? 1 : 0
        message.started_at_ns = startedAt
        message.ended_at_ns = endedAt
        message.pid = pid
        message.user_time_us = userTime
        message.system_time_us = systemTime
        message.max_rss_kib = maxRSS
        message.exec_error = execError?.rawValue ?? 0
        message.survivors = survivors ? 1 : 0
        message.memory_limit = memoryLimit ?? 0
        message.memory_peak = memoryPeak ?? 0
        message.ended_boottime_ns = endedSinceBoot ?? 0
        return withCopiedCString(of: taskDirectory, limit: Self.maximumText) { directory in
            withCopiedCString(of: execProgram, limit: Self.maximumText) { program in
                message.task_directory = directory
                message.exec_program = program
                return withUnsafeMutablePointer(to: &message, body)
            }
        }
    }

    private static func seal(
        _ message: UnsafeMutablePointer<Exec2__Executor__ExitRecord>, into buffer: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        let size = exec2__executor__exit_record__get_packed_size(message)
        guard let start = buffer.baseAddress, headerSize + size <= buffer.count else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        let body = start + headerSize
        _ = exec2__executor__exit_record__pack(message, body.assumingMemoryBound(to: UInt8.self))
        start.copyMemory(from: magic.utf8Start, byteCount: 8)
        buffer.storeBytes(of: version.littleEndian, toByteOffset: 8, as: UInt32.self)
        buffer.storeBytes(of: UInt32(size).littleEndian, toByteOffset: 12, as: UInt32.self)
        let checksum = CRC32.checksum(UnsafeRawBufferPointer(start: body, count: size))
        buffer.storeBytes(of: checksum.littleEndian, toByteOffset: 16, as: UInt32.self)
        return UnsafeRawBufferPointer(rebasing: buffer[..<(headerSize + size)])
    }

    /// Reads a record file's content; whatever is not exactly a record is damage, never guessed at.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(ExitRecordDamage) -> ExitRecord {
        guard bytes.count >= headerSize else { throw .tooShort(bytes: bytes.count) }
        guard let start = bytes.baseAddress, memcmp(start, magic.utf8Start, 8) == 0 else { throw .notARecord }
        let version = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard version == Self.version else { throw .newerFormat(version: version) }
        let size = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
        guard bytes.count == headerSize + size else { throw .lengthMismatch }
        let body = UnsafeRawBufferPointer(rebasing: bytes[headerSize...])
        guard CRC32.checksum(body) == checksum else { throw .checksumMismatch }
        guard
            let message = exec2__executor__exit_record__unpack(
                nil, size, body.bindMemory(to: UInt8.self).baseAddress)
        else { throw .undecodable }
        defer { exec2__executor__exit_record__free_unpacked(message, nil) }
        return ExitRecord(message.pointee)
    }

    /// The contents of the record's message.
    init(_ message: Exec2__Executor__ExitRecord) {
        let error = message.exec_error
        self.init(
            taskDirectory: String(cString: message.task_directory),
            exitCode: message.exit_code,
            signal: message.signal,
            oomKilled: message.oom_killed != 0,
            startedAt: message.started_at_ns,
            endedAt: message.ended_at_ns,
            pid: message.pid,
            userTime: message.user_time_us,
            systemTime: message.system_time_us,
            maxRSS: message.max_rss_kib,
            execError: error == 0 ? nil : Errno(rawValue: error),
            execProgram: String(cString: message.exec_program),
            survivors: message.survivors != 0,
            memoryLimit: message.memory_limit == 0 ? nil : message.memory_limit,
            memoryPeak: message.memory_peak == 0 ? nil : message.memory_peak,
            endedSinceBoot: message.ended_boottime_ns == 0 ? nil : message.ended_boottime_ns)
    }
}
