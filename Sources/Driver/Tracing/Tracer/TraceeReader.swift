import CLinux
import EventLoop
import Glibc
import Shared

/// Reads the arguments of a stopped thread's system call from its memory and from /proc. They are untrusted.
enum TraceeReader {
    /// PATH_MAX
    private static let maximumPath = 4096
    /// AT_FDCWD
    private static let currentDirectory: Int32 = -100

    /// A path as the program wrote it; nil if the address is NULL or cannot be read.
    static func text(_ thread: Int32, _ address: UInt64) -> [UInt8]? {
        if address == 0 { return nil }
        return withUnsafeTemporaryAllocation(byteCount: maximumPath, alignment: 8) { buffer in
            let length = exec2_read_text(thread, address, buffer.baseAddress, buffer.count)
            return length < 0 ? nil : Array(buffer[..<length])
        }
    }

    /// Up to `count` bytes of its memory.
    static func bytes(_ thread: Int32, _ address: UInt64, _ count: Int) -> [UInt8] {
        if address == 0 || count <= 0 { return [] }
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { buffer in
            let length = exec2_read_memory(thread, address, buffer.baseAddress, count)
            return length < 0 ? [] : Array(buffer[..<length])
        }
    }

    static func number(_ thread: Int32, _ address: UInt64) -> UInt64 {
        let bytes = bytes(thread, address, 8)
        return bytes.indices.reduce(0) { $0 | UInt64(bytes[$1]) << UInt64(8 * $1) }
    }

    /// The absolute path; nil if the directory that it is relative to has no path.
    /// - Parameter directory: As openat(2) takes it.
    static func absolute(_ path: [UInt8], _ thread: Int32, directory: Int32) -> String? {
        if path.first == UInt8(ascii: "/") { return ProcPath.resolved(ByteText.text(path), of: thread) }
        let place = directory == currentDirectory ? "cwd" : "fd/\(directory)"
        guard let base = link("/proc/\(thread)/\(place)") else { return nil }
        return path.isEmpty ? base : ProcPath.resolved(base + "/" + ByteText.text(path), of: thread)
    }

    /// The path of an open file; nil if it has none.
    static func path(_ thread: Int32, descriptor: Int32) -> String? { link("/proc/\(thread)/fd/\(descriptor)") }

    /// The path that a link of /proc leads to; nil if it leads to an object without a path.
    static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: maximumPath)
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0, count < buffer.count else { return nil }
        let text = ByteText.text(buffer[..<count].map { UInt8(bitPattern: $0) })
        return text.hasPrefix("/") && !text.hasSuffix(" (deleted)") ? text : nil
    }

    /// The address in a socket call: a `struct sockaddr`, or the one in a `struct msghdr`.
    static func address(_ kind: TracedCall.Kind, _ thread: Int32, _ address: UInt64, size: UInt64) -> SocketAddress? {
        // The longest is a unix socket's.
        let maximum: UInt64 = 110
        guard kind == .sendMessage else { return SocketAddress(bytes(thread, address, Int(min(size, maximum)))) }
        let name = number(thread, address)
        let length = number(thread, address + 8) & 0xFFFF_FFFF
        return SocketAddress(bytes(thread, name, Int(min(length, maximum))))
    }

    static func socketType(_ process: Int32, _ descriptor: UInt64) -> Int32 {
        let number = exec2_pidfd_open(process)
        guard number >= 0 else { return -1 }
        let pidfd = OwnedDescriptor(owning: number)
        return exec2_socket_type(pidfd.number, Int32(truncatingIfNeeded: descriptor))
    }

    static func process(_ thread: Int32) -> TracedProcess {
        guard let status = try? HostFile.read("/proc/\(thread)/status") else { return TracedProcess(pid: thread) }
        return TracedProcess(thread: thread, status: status)
    }
}
