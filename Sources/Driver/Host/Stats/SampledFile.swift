import CLinux
import EventLoop
import Glibc
import Shared

import struct Synchronization.Atomic

/// A file of the kernel's (/proc, cgroups) that is read at every sample. It is kept open as long as there
/// are descriptors to spare: to find it again costs as much as to read it.
struct SampledFile: ~Copyable, Sendable {
    private let path: String
    /// −1: to be opened for each reading.
    private let number: Int32
    /// A controller that the host lacks has no file, and will have none in the life of a stream.
    private let exists: Bool

    /// A file of many lines is given by pages (the kernel's fs/seq_file.c): what leaves room for another line in the
    /// smallest page was the last of it.
    private static let fullReading = 4096 - 256

    /// Of all streams together.
    private static let held = Atomic<Int>(0)
    /// Starts and stops of tasks go before statistics.
    private static let mostHeld = DescriptorLimit.most / 4
    /// A new descriptor has the lowest free number: from here on, tasks have nearly all.
    private static let firstNotHeld = Int32(clamping: DescriptorLimit.most - DescriptorLimit.most / 8)

    init(_ path: String) {
        self.path = path
        let opened = Self.open(path)
        exists = opened >= 0 || Errno.last != .noSuchFile
        guard opened >= 0 else {
            number = -1
            return
        }
        if opened < Self.firstNotHeld {
            if Self.held.add(1, ordering: .relaxed).newValue <= Self.mostHeld {
                number = opened
                return
            }
            Self.held.subtract(1, ordering: .relaxed)
        }
        _ = close(opened)
        number = -1
    }

    deinit {
        guard number >= 0 else { return }
        _ = close(number)
        Self.held.subtract(1, ordering: .relaxed)
    }

    /// The content now, as much as fits into `buffer`; empty if the file does not exist.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        guard exists else { return UnsafeRawBufferPointer(rebasing: buffer[..<0]) }
        if number >= 0 { return Self.read(number, buffer) }
        let opened = Self.open(path)
        guard opened >= 0 else { return UnsafeRawBufferPointer(rebasing: buffer[..<0]) }
        defer { _ = close(opened) }
        return Self.read(opened, buffer)
    }

    private static func open(_ path: String) -> Int32 { retrying { exec2_open(path, O_RDONLY | O_CLOEXEC, 0) } }

    private static func read(_ number: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        var length = 0
        while length < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[length...])
            let count = retrying { pread(number, rest.baseAddress, rest.count, off_t(length)) }
            if count <= 0 { break }
            length += count
            if count < fullReading { break }
        }
        return UnsafeRawBufferPointer(rebasing: buffer[..<length])
    }
}
