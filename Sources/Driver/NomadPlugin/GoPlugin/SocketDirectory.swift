import CLinux
import Glibc
import Shared

/// A fresh directory with an unguessable name that only this process's user can enter, for the socket
/// through which root's work is ordered. As long as the process lives it holds a lock in it, by which the next driver
/// knows that this one does (`SocketSweep`).
struct SocketDirectory: Sendable {
    /// Longest path of a unix socket in bytes, without its NUL; see unix(7).
    static let longestSocketPath = 107

    /// The directory's name, before what is random in it.
    static let namePrefix = "nomad-exec2-"
    /// Letters and digits (mkdtemp(3)).
    static let randomLength = 6
    static let socketName = "driver.sock"
    static let lockName = "lock"

    let path: String
    var socket: String { path + "/" + Self.socketName }

    /// Makes the directory below `parent`.
    init(below parent: String) throws(PluginError) {
        let parent = try Self.trusted(parent)
        let template =
            (parent == "/" ? "" : parent) + "/" + Self.namePrefix
            + String(repeating: "X", count: Self.randomLength)
        let length = template.utf8.count + 1 + Self.socketName.utf8.count
        guard length <= Self.longestSocketPath else {
            throw PluginError(
                "cannot make the plugin's socket below \(parent): its path would be \(length) bytes long, and the "
                    + "kernel allows \(Self.longestSocketPath); point PLUGIN_UNIX_SOCKET_DIR to a directory with a shorter "
                    + "path")
        }
        var name = Array(template.utf8CString)
        let made = name.withUnsafeMutableBufferPointer { name in name.baseAddress.map { mkdtemp($0) != nil } ?? false }
        guard made else { throw PluginError("cannot make a directory for the plugin's socket below \(parent)", errno) }
        path = name.withUnsafeBufferPointer { name in
            String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        // mkdtemp's 0700 is cut by the umask; a directory its owner cannot use would only fail later.
        guard chmod(path, 0o700) == 0 else {
            let error = PluginError("cannot set the mode of \(path)", errno)
            rmdir(path)
            throw error
        }
        do throws(SystemError) {
            try lock()
        } catch {
            remove()
            throw PluginError(error.text)
        }
    }

    /// Holds the lock until the process ends: it is never closed.
    private func lock() throws(SystemError) {
        let path = path + "/" + Self.lockName
        let lock = exec2_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw SystemError("make the lock of the plugin's socket,", path) }
        guard exec2_lock(lock) == 0 else {
            let error = SystemError("lock", path)
            close(lock)
            throw error
        }
    }

    /// Removes the socket, if it is still there, and the directory.
    func remove() {
        unlink(socket)
        unlink(path + "/" + Self.lockName)
        rmdir(path)
    }

    /// The real path of `parent`. Throws if another user can rename entries in it or in a directory above it: that
    /// user could replace our directory and its socket, and receive what the agent sends, secrets included.
    private static func trusted(_ parent: String) throws(PluginError) -> String {
        func fault(_ reason: String) -> PluginError {
            PluginError("cannot use \(parent) for the plugin's socket: \(reason)")
        }
        guard let resolved = realpath(parent, nil) else {
            throw PluginError("cannot use \(parent) for the plugin's socket", errno)
        }
        defer { free(resolved) }
        let real = String(cString: resolved)
        var directory = real
        while true {
            var status = stat()
            guard stat(directory, &status) == 0 else {
                throw PluginError("cannot use \(parent) for the plugin's socket", errno)
            }
            guard status.st_mode & S_IFMT == S_IFDIR else { throw fault("it is not a directory") }
            guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 || status.st_mode & S_ISVTX != 0 else {
                throw fault(
                    "others may write to \(directory), so they could replace the socket; set its sticky bit (chmod +t) or "
                        + "point PLUGIN_UNIX_SOCKET_DIR to another directory")
            }
            // The sticky bit does not bind a directory's owner.
            guard status.st_uid == 0 || status.st_uid == geteuid() else {
                throw fault(
                    "\(directory) belongs to user \(status.st_uid), who could replace the socket; point "
                        + "PLUGIN_UNIX_SOCKET_DIR to a directory of root's")
            }
            guard let slash = directory.lastIndex(of: "/"), directory != "/" else { return real }
            directory = slash == directory.startIndex ? "/" : String(directory[..<slash])
        }
    }
}
