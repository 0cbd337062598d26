import CLinux
import SharedEmbedded

/// The mounts of a namespace, as /proc/<pid>/mountinfo shows them (proc_pid_mountinfo(5)).
struct MountTable {
    struct Mount {
        let id: UInt64
        /// "major:minor" of the file system.
        let device: [UInt8]
        /// The directory or file of the file system that is mounted.
        let root: PathBytes
        let place: PathBytes
    }

    private(set) var mounts: [Mount] = []

    /// Reads the mounts of the namespace that this process is in.
    /// - Parameter proc: An open /proc that shows this process.
    static func read(proc: Int32) throws(LaunchFailure) -> MountTable {
        let file = exec2_openat(proc, "self/mountinfo", O_RDONLY | O_CLOEXEC, 0)
        guard file >= 0 else { throw LaunchFailure(.rootMount, .last, "/proc/self/mountinfo") }
        defer { _ = close(file) }
        var table = MountTable()
        guard table.add(linesOf: file) else { throw LaunchFailure(.rootMount, .last, "/proc/self/mountinfo") }
        return table
    }

    /// False, with errno set, if the file cannot be read.
    private mutating func add(linesOf file: Int32) -> Bool {
        var rest: [UInt8] = []
        return withUnsafeTemporaryAllocation(byteCount: 32768, alignment: 16) { buffer -> Bool in
            while true {
                let count = retrying { CLinux.read(file, buffer.baseAddress, buffer.count) }
                guard count > 0 else { return count == 0 }
                rest.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                var start = 0
                while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
                    if let mount = Self.mount(rest[start..<end]) { mounts.append(mount) }
                    start = end + 1
                }
                rest.removeFirst(start)
            }
        }
    }

    /// Parses a line such as "36 35 98:0 /root /place options …".
    private static func mount(_ line: ArraySlice<UInt8>) -> Mount? {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
        guard fields.count > 4, let id = number(fields[0]) else { return nil }
        return Mount(
            id: id, device: Array(fields[2]), root: path(fields[3]), place: path(fields[4]))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            value = value &* 10 &+ UInt64(digit - UInt8(ascii: "0"))
        }
        return value
    }

    /// Decodes a path. Space, tab, newline and backslash are a backslash and three octal digits.
    private static func path(_ text: ArraySlice<UInt8>) -> PathBytes {
        var bytes: [UInt8] = []
        var index = text.startIndex
        while index < text.endIndex {
            if text[index] == UInt8(ascii: "\\"), index + 3 < text.endIndex {
                let digits = text[(index + 1)...(index + 3)]
                bytes.append(digits.reduce(0) { $0 &* 8 &+ ($1 &- UInt8(ascii: "0")) })
                index += 4
            } else {
                bytes.append(text[index])
                index += 1
            }
        }
        return bytes.withUnsafeBytes { PathBytes(bytes: $0) }
    }
}
