import Shared

/// Where in the task's view of the file system something is mounted.
///
/// The path is the job's to choose, and it is taken as a person reads it: `..` and symlinks have no place in
/// it. In the task's own directory what is missing is made; elsewhere the directories are the host's.
struct MountDestination: Equatable, Sendable {
    /// Absolute, without empty parts and `.`.
    let path: String
    /// A directory above it that is the client's or the operator's, and may be reached through symlinks.
    let root: String
    /// The rest of the path, through which no symlink is followed.
    let inside: String
    /// Made where it is missing.
    let isMade: Bool

    /// Longer ones the kernel does not take (PATH_MAX with the NUL).
    static let maximumLength = 4095

    /// Kernel file systems: the driver itself goes by what is in them.
    private static let kernelDirectories = ["/proc", "/sys"]

    /// - Parameters:
    ///   - text: The job's: absolute, or relative to the task's directory.
    ///   - subject: What is to be mounted, for errors: "volume mount "/data"".
    ///   - allocDir: The allocation's directory.
    ///   - isDevice: Devices may be among those of the host.
    ///   - hasPrivateTmp: `/tmp` is a directory of the task's own.
    init(
        _ text: String, of subject: String, directories: TaskDirectories, allocDir: String, isDevice: Bool,
        hasPrivateTmp: Bool = false
    ) throws(StartError) {
        func refuse(_ reason: String) -> StartError { StartError(.permanent, "\(subject): \(reason)") }

        if text.isEmpty { throw refuse("there is no destination") }
        if text.contains("${") {
            throw refuse("the destination has a variable that the client did not know: there is no such variable")
        }
        let task = Self.parts(directories.task)
        let parts = text.utf8.first == UInt8(ascii: "/") ? Self.parts(text) : task + Self.parts(text)
        if parts.contains("..") { throw refuse("the destination must not have .. in it") }
        path = "/" + parts.joined(separator: "/")
        if path.utf8.count > Self.maximumLength {
            throw refuse("the destination has \(path.utf8.count) bytes; \(Self.maximumLength) are the most")
        }
        if parts.isEmpty { throw refuse("the destination is /, which would hide the whole host") }

        let kernel = Self.kernelDirectories + (isDevice ? [] : ["/dev"])
        if let directory = kernel.first(where: { parts.starts(with: Self.parts($0)) }) {
            throw refuse("nothing can be mounted at or below \(directory), which is the kernel's")
        }
        let own = ([directories.task, allocDir] + directories.all).map(Self.parts)
        if own.contains(where: { $0.starts(with: parts) }) {
            throw refuse(
                "the destination would hide the task's own directories: choose one below them, such as "
                    + "${NOMAD_TASK_DIR}/data")
        }
        let logs = [directories.alloc + "/logs", allocDir + "/alloc/logs"].map(Self.parts)
        if logs.contains(where: { parts.starts(with: $0) }) {
            throw refuse("the destination is in the log directory, which is read-only for the task")
        }

        if parts.starts(with: task) {
            root = "/" + task.dropLast().joined(separator: "/")
            inside = parts.dropFirst(task.count - 1).joined(separator: "/")
            isMade = true
        } else if parts.starts(with: Self.parts(directories.alloc)) {
            let above = Self.parts(directories.alloc).dropLast()
            root = "/" + above.joined(separator: "/")
            inside = parts.dropFirst(above.count).joined(separator: "/")
            isMade = true
        } else if hasPrivateTmp, let inTmp = PrivateTmp.inside(path), !inTmp.isEmpty {
            root = PrivateTmp.path
            inside = inTmp
            isMade = true
        } else {
            root = "/"
            inside = parts.joined(separator: "/")
            isMade = false
        }
    }

    private static func parts(_ path: String) -> [Substring] {
        path.pathComponents.filter { $0 != "." }
    }
}
