import Planning
import Shared

/// A system call that has failed, with its arguments.
final class Attempt: Sendable {
    /// Nil for a call that only the seccomp filter may have refused.
    let call: TracedCall?
    let number: UInt64
    let arguments: [UInt64]
    let error: Errno
    let process: TracedProcess
    /// The value of the argument `TracedCall.flags`; for openat2(2), the flags in memory.
    let flags: UInt64
    /// Absolute, in the form of `ByteText`.
    let paths: [String]
    let address: SocketAddress?
    /// The type of the socket, such as SOCK_STREAM; −1 if it is not known.
    let socketType: Int32

    init(
        call: TracedCall?, number: UInt64, arguments: [UInt64] = [], error: Errno, process: TracedProcess,
        flags: UInt64 = 0, paths: [String] = [], address: SocketAddress? = nil, socketType: Int32 = -1
    ) {
        self.call = call
        self.number = number
        self.arguments = arguments
        self.error = error
        self.process = process
        self.flags = flags
        self.paths = paths
        self.address = address
        self.socketType = socketType
    }

    /// About how many bytes of memory it takes.
    var size: Int { paths.reduce(256) { $0 + $1.utf8.count } }

    /// The name of the call, such as "openat".
    var name: String {
        if let call { return call.name.description }
        return SyscallGroup.closing(number, arguments)?.call ?? "call \(number)"
    }
}

/// The process that has made an attempt.
final class TracedProcess: Sendable {
    let pid: Int32
    let name: String
    let uid, gid: UInt32
    let groups: [UInt32]
    let capabilities: UInt64

    init(
        pid: Int32, name: String = "", uid: UInt32 = 0, gid: UInt32 = 0, groups: [UInt32] = [], capabilities: UInt64 = 0
    ) {
        self.pid = pid
        self.name = name
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.capabilities = capabilities
    }

    /// - Parameter status: What /proc/<pid>/status holds (proc_pid_status(5)).
    convenience init(thread: Int32, status: [UInt8]) {
        let numbers = { (field: String, base: UInt64) in Self.numbers(of: field, in: status, base: base) }
        // The last number of Uid and Gid is the one that file systems check.
        self.init(
            pid: numbers("Tgid:", 10).last.map { Int32(truncatingIfNeeded: $0) } ?? thread,
            name: ByteText.text(Self.value(of: "Name:", in: status).dropFirst()),
            uid: UInt32(truncatingIfNeeded: numbers("Uid:", 10).last ?? 0),
            gid: UInt32(truncatingIfNeeded: numbers("Gid:", 10).last ?? 0),
            groups: numbers("Groups:", 10).map { UInt32(truncatingIfNeeded: $0) },
            capabilities: numbers("CapEff:", 16).last ?? 0)
    }

    /// The rest of the line behind a field's name.
    private static func value(of field: String, in status: [UInt8]) -> ArraySlice<UInt8> {
        for line in status.split(separator: 0x0A) where line.starts(with: field.utf8) {
            return line.dropFirst(field.utf8.count)
        }
        return []
    }

    static func numbers(of field: String, in status: [UInt8], base: UInt64) -> [UInt64] {
        var numbers: [UInt64] = []
        var isInside = false
        for byte in value(of: field, in: status) {
            let digit = UInt64(byte >= 0x61 ? byte &- 0x57 : byte &- 0x30)
            guard digit < base else {
                isInside = false
                continue
            }
            if !isInside { numbers.append(0) }
            isInside = true
            numbers[numbers.count - 1] = numbers[numbers.count - 1] &* base &+ digit
        }
        return numbers
    }

    func has(_ capability: Capability) -> Bool { capabilities & capability.bit != 0 }

    /// Whether a file's mode and owner permit it what a rule with `modes` would. Access control lists are not
    /// considered.
    func may(_ modes: AccessModes, _ file: FileFacts) -> Bool {
        // The mode c of a rule needs the permissions to write to the directory and to search it.
        var wanted: UInt32 = 0
        if modes.contains(.read) { wanted |= 4 }
        if modes.contains(.write) && !file.isDirectory || modes.contains(.create) { wanted |= 2 }
        if modes.contains(.execute) || modes.contains(.create) { wanted |= 1 }
        let bits: UInt32
        if file.owner == uid {
            bits = file.mode >> 6
        } else if file.group == gid || groups.contains(file.group) {
            bits = file.mode >> 3
        } else {
            bits = file.mode
        }
        let lacking = wanted & ~bits
        if lacking == 0 { return true }
        if has(.dacOverride) { return lacking & 1 == 0 || file.isDirectory || file.mode & 0o111 != 0 }
        return has(.dacReadSearch) && lacking & 2 == 0 && (lacking & 1 == 0 || file.isDirectory)
    }
}

/// What is known of a file of the host.
struct FileFacts: Equatable, Sendable {
    var isDirectory = false
    var mode: UInt32 = 0
    var owner: UInt32 = 0
    var group: UInt32 = 0
}

/// What a path of a task names on the host, and how much of it the task's root shows.
struct PathFacts: Sendable {
    /// The paths of rules that would unveil the object, and its parent directory.
    var rule = "/"
    var directoryRule = "/"
    /// The object on the host; nil if it does not exist there.
    var object: FileFacts?
    /// Its parent directory on the host.
    var directory: FileFacts?
    /// The device number of the directory's file system.
    var device: UInt64 = 0
    /// The task's root has the same object at this path.
    var isObjectVisible = false
    var isDirectoryVisible = false
    /// In the task's root, the path can be resolved only up to a directory or symlink of the template, which was made
    /// because it leads to something unveiled.
    var endsAtPlaceholder = false
    /// The permissions of the directories on the host let the process resolve the path.
    var isPassable = true
    /// It is in /proc, which is the task's own.
    var isOfProc = false
}
