import CLinux
import SharedEmbedded

/// The exit record's file: its space is taken at launch, so that a disk that fills up later cannot
/// lose an exit status.
struct RecordFile {
    private let directory: Int32
    private let reserved: Int32

    static func reserve(in directory: Int32, path: UnsafePointer<CChar>?) throws(LaunchFailure) -> RecordFile {
        let number = exec2_openat(
            directory, "exit.reserved", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw LaunchFailure(.exitRecord, path) }
        if exec2_reserve(number, UInt64(ExitRecord.reservedSize)) != 0 {
            // Not every file system can reserve; written bytes are as good.
            let count = withUnsafeTemporaryAllocation(byteCount: ExitRecord.reservedSize, alignment: 16) {
                zeros -> Int in
                zeros.initializeMemory(as: UInt8.self, repeating: 0)
                return retrying { CLinux.write(number, zeros.baseAddress, zeros.count) }
            }
            guard count == ExitRecord.reservedSize else {
                throw LaunchFailure(.exitRecord, .noSpace, path.map { String(cString: $0) } ?? "")
            }
        }
        return RecordFile(directory: directory, reserved: number)
    }

    /// Writes the record durably: content, fsync, rename, fsync of the directory. False where the kernel
    /// refused; the Driver then finds an Executor that is gone without a record, and says so.
    ///
    /// What is refused once is asked for again: nothing else is left that knows how the task ended. A disk
    /// that does not sync keeps nothing from being read, as long as the host is up.
    func write(_ record: ExitRecord) -> Bool {
        let written = withUnsafeTemporaryAllocation(byteCount: ExitRecord.reservedSize, alignment: 16) {
            buffer -> Bool in
            let bytes = record.encode(into: buffer)
            guard bytes.count > 0 else { return false }
            return twice { pwrite(reserved, bytes.baseAddress, bytes.count, 0) == bytes.count }
                && twice { ftruncate(reserved, off_t(bytes.count)) == 0 }
        }
        guard written else { return false }
        _ = twice { fsync(reserved) == 0 }
        guard twice({ renameat(directory, "exit.reserved", directory, "exit") == 0 }) else { return false }
        _ = twice { fsync(directory) == 0 }
        return true
    }

    private func twice(_ attempt: () -> Bool) -> Bool { attempt() || attempt() }
}
