import CLinux
import EventLoop
import Glibc
import HCLog
import Shared

/// Removes the socket directories of drivers that were killed: nobody else can, and each has a name of its own.
///
/// Only what is certainly the directory of a driver that has ended: of the name that `SocketFolder` gives and of this
/// process's user, who alone may enter it, with nothing in it but a socket and a lock, and nobody holds the lock. A driver
/// takes that before there is a socket.
package enum SocketSweep {
    /// Where drivers may have made theirs: agents that were started in another way have other variables.
    package static func places(environment: [String: String]) -> [String] {
        var places: [String] = []
        for place in [environment["PLUGIN_UNIX_SOCKET_DIR"], environment["TMPDIR"], "/tmp"] {
            guard let place, place.hasPrefix("/"), !places.contains(place) else { continue }
            places.append(place)
        }
        return places
    }

    /// Goes through each place. What cannot be looked at is left alone.
    static func run(in places: [String], log: Logger) {
        for place in places {
            for name in FolderList.names(in: place) ?? [] where isDrivers(name) {
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
        let random = name.utf8.dropFirst(SocketFolder.namePrefix.utf8.count)
        return name.hasPrefix(SocketFolder.namePrefix) && random.count == SocketFolder.randomLength
            && random.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            }
    }

    /// False where it is not certainly a dead driver's.
    private static func remove(_ path: String) throws(SystemError) -> Bool {
        let folder = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        var facts = stat()
        guard fstat(folder.number, &facts) == 0, facts.st_uid == geteuid(), facts.st_mode & 0o7777 == 0o700,
            Set(try FolderList.read(path)) == [SocketFolder.socketName, SocketFolder.lockName]
        else { return false }
        let lock = try OwnedDescriptor.open(SocketFolder.lockName, in: folder, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
        guard exec2_lock(lock.number) == 0 else {
            if Errno.last == .wouldBlock { return false }
            throw SystemError("lock", path + "/" + SocketFolder.lockName)
        }
        for name in [SocketFolder.socketName, SocketFolder.lockName] {
            // Another driver may be at it too.
            guard unlinkat(folder.number, name, 0) == 0 || Errno.last == .noSuchFile else {
                throw SystemError("remove", path + "/" + name)
            }
        }
        guard rmdir(path) == 0 || Errno.last == .noSuchFile else { throw SystemError("remove the folder", path) }
        return true
    }
}
