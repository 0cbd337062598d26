import CLinux

/// A file descriptor with one owner, closed when the owner lets it go.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number, for system calls.
    public let number: Int32

    /// Takes ownership of an open descriptor.
    public init(owning number: Int32) { self.number = number }

    deinit { _ = close(number) }

    /// Opens a path (open(2)); the descriptor is closed on exec.
    public static func open(_ path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) -> OwnedDescriptor {
        let number = retrying { exec2_open(path, flags | O_CLOEXEC, mode) }
        guard number >= 0 else { throw SystemError("open", path) }
        return OwnedDescriptor(owning: number)
    }

    /// Opens a name in an open directory (openat(2)); the descriptor is closed on exec.
    public static func open(
        _ name: String, in directory: borrowing OwnedDescriptor, _ flags: Int32, mode: mode_t = 0
    ) throws(SystemError) -> OwnedDescriptor {
        let directoryNumber = directory.number
        let number = retrying { exec2_openat(directoryNumber, name, flags | O_CLOEXEC, mode) }
        guard number >= 0 else { throw SystemError("open", name) }
        return OwnedDescriptor(owning: number)
    }

    /// What kind of file is open, and which one (fstat(2)); `path` is for the error.
    public func facts(of path: String = "an open file") throws(SystemError) -> exec2_file_facts {
        var facts = exec2_file_facts()
        guard exec2_fstat(number, &facts) == 0 else { throw SystemError("examine", path) }
        return facts
    }

    /// Writes all bytes (write(2)), also where the kernel takes them in parts.
    public func writeAll(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            guard let start = bytes.baseAddress else { return }
            let number = self.number
            let offset = written
            let count = retrying { write(number, start + offset, bytes.count - offset) }
            guard count > 0 else { throw SystemError("write to", "an open file", count == 0 ? .noSpace : .last) }
            written += count
        }
    }
}
