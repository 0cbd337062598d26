import CLinux
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// Removes the socket directories of drivers that were killed: nothing else does, and each driver makes another one.
///
/// A directory is removed only if a driver that has ended certainly made it: `SocketDirectory` gives such names, it
/// belongs to this process's user and only that user may enter it, it contains nothing but a socket and a lock, and no
/// process holds the lock. A driver locks it before it makes the socket. A driver that was killed before that has left
/// the directory empty or with only the lock: such a directory is removed when it is too old for a driver that is just
/// starting.
package enum SocketSweep {
    /// Where drivers may have made theirs: agents that were started in another way have other variables, and drivers of
    /// earlier releases used TMPDIR and /tmp.
    package static func places(environment: [String: String]) -> [String] {
        var places: [String] = []
        for place in [environment["PLUGIN_UNIX_SOCKET_DIR"], PluginSockets.path, environment["TMPDIR"], "/tmp"] {
            guard let place, place.hasPrefix("/"), !places.contains(place) else { continue }
            places.append(place)
        }
        return places
    }

    /// A driver that starts has its socket after some milliseconds.
    private static let startSeconds = 60

    /// Goes through each place. What cannot be looked at is left alone.
    static func run(in places: [String], log: Logger) {
        for place in places {
            for name in DirectoryListing.names(in: place) ?? [] where isDrivers(name) {
                let path = place + "/" + name
                do throws(SystemError) {
                    if try remove(path) { log.info("removed the socket of a driver that was killed", ["path": path]) }
                } catch {
                    log.debug("left the directory of a driver's socket alone", ["path": path, "reason": error.text])
                }
            }
        }
    }

    private static func isDrivers(_ name: String) -> Bool {
        let random = name.utf8.dropFirst(SocketDirectory.namePrefix.utf8.count)
        return name.hasPrefix(SocketDirectory.namePrefix) && random.count == SocketDirectory.randomLength
            && random.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            }
    }

    /// False where it is not certainly a dead driver's.
    private static func remove(_ path: String) throws(SystemError) -> Bool {
        let directory = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        var facts = stat()
        guard fstat(directory.number, &facts) == 0, facts.st_uid == geteuid(), facts.st_mode & 0o7777 == 0o700 else {
            return false
        }
        let names = Set(try DirectoryListing.read(path))
        let isStarting = time(nil) - facts.st_mtim.tv_sec < startSeconds
        switch names {
        case [SocketDirectory.socketName, SocketDirectory.lockName]: break
        case [SocketDirectory.lockName] where !isStarting: break
        // Its driver made no lock. If another is just making one, the directory is not empty any more, and stays.
        case [] where !isStarting: return try removeEmpty(path)
        default: return false
        }
        let lock = try OwnedDescriptor.open(SocketDirectory.lockName, in: directory, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        guard exec2_lock(lock.number) == 0 else {
            if Errno.last == .wouldBlock { return false }
            throw SystemError("lock", path + "/" + SocketDirectory.lockName)
        }
        for name in [SocketDirectory.socketName, SocketDirectory.lockName] {
            // Another driver may be at it too.
            guard unlinkat(directory.number, name, 0) == 0 || Errno.last == .noSuchFile else {
                throw SystemError("remove", path + "/" + name)
            }
        }
        return try removeEmpty(path)
    }

    private static func removeEmpty(_ path: String) throws(SystemError) -> Bool {
        guard rmdir(path) == 0 || Errno.last == .noSuchFile else { throw SystemError("remove the directory", path) }
        return true
    }
}
