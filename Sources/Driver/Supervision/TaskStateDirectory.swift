import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// The state directory of one task: FIFOs, lock and exit record (`StateFile`), root's alone.
package struct TaskStateDirectory: Equatable, Sendable {
    /// Of all tasks.
    package let stateDirectory: String
    package let name: String

    package init(stateDirectory: String, name: String) {
        self.stateDirectory = stateDirectory
        self.name = name
    }

    package var path: String { stateDirectory + "/" + name }

    /// Whether it exists and is a directory; fails where the kernel does not tell, for want of memory say.
    var exists: Bool {
        get throws(SystemError) {
            var facts = stat()
            if stat(path, &facts) == 0 { return facts.st_mode & S_IFMT == S_IFDIR }
            let errno = Errno.last
            if errno == .noSuchFile || errno == .notDirectory { return false }
            throw SystemError("look for the task's state directory", path, errno)
        }
    }

    /// Makes the directory with its FIFOs and takes its session, in a state directory that is there
    /// (`StateDirectory`). Fails with EEXIST where the directory is there already.
    ///
    /// It appears under its name only when it is whole and locked: another Driver never takes one that
    /// is being made for one that was left.
    func create() throws(SystemError) -> SessionPipes {
        let number = String(UInt64.random(in: 1 << 31..<1 << 32), radix: 16)
        let fresh = TaskStateDirectory(stateDirectory: stateDirectory, name: ".new+" + number)
        guard mkdir(fresh.path, 0o700) == 0 else { throw SystemError("make the task's state directory", fresh.path) }
        do throws(SystemError) {
            for pipe in [StateFile.control, StateFile.events] {
                let path = fresh.path + "/" + pipe
                guard mkfifo(path, 0o600) == 0 else { throw SystemError("make the pipe", path) }
            }
            // One descriptor for both (`SessionPipes`). On a file system without hard links the lock is a file of its own.
            _ = link(fresh.path + "/" + StateFile.events, fresh.path + "/" + StateFile.lock)
            let pipes = try SessionPipes(fresh)
            guard rename(fresh.path, path) == 0 else {
                // rename(2) has ENOTEMPTY for a directory that is there.
                let errno = Errno.last
                throw SystemError(
                    "make the task's state directory", path, errno.rawValue == ENOTEMPTY ? .fileExists : errno)
            }
            return pipes
        } catch {
            _ = fresh.remove()
            throw error
        }
    }

    /// Opens one of the FIFOs. A pipe that somebody replaced by something else is an error.
    func openPipe(_ name: String) throws(SystemError) -> OwnedDescriptor {
        let path = self.path + "/" + name
        let pipe = try OwnedDescriptor.open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW)
        let facts = try pipe.facts(of: path)
        guard facts.type == EXEC2_FILE_FIFO else { throw SystemError("use as a pipe", path, .invalidArgument) }
        try Self.checkOwner(facts, path)
        return pipe
    }

    /// Only what this driver's user has made is believed, whoever had the directories above for a time.
    private static func checkOwner(_ facts: exec2_file_facts, _ path: String) throws(SystemError) {
        if facts.owner == geteuid() { return }
        throw SystemError("use, since it belongs to user \(facts.owner),", path, .permissionDenied)
    }

    /// Whether the open lock is the events pipe under its second name; false if it is a file of its own, as a Driver of an
    /// earlier release makes it. Fails if it is another pipe than the one at `events`: the Executor writes to the lock's.
    func isEventsPipe(_ lock: borrowing OwnedDescriptor) throws(SystemError) -> Bool {
        let facts = try lock.facts(of: path + "/" + StateFile.lock)
        guard facts.type == EXEC2_FILE_FIFO else { return false }
        try Self.checkOwner(facts, path + "/" + StateFile.lock)
        let place = path + "/" + StateFile.events
        var events = stat()
        guard lstat(place, &events) == 0 else { throw SystemError("examine", place) }
        if UInt64(events.st_dev) == facts.device && UInt64(events.st_ino) == facts.inode { return true }
        throw SystemError(
            "use", "\(place) (another file has taken its name: `\(StateFile.lock)` is a different pipe)",
            .invalidArgument)
    }

    /// Takes the session's lock: nil where another Driver holds it.
    func lock() throws(SystemError) -> OwnedDescriptor? {
        let path = self.path + "/" + StateFile.lock
        let lock = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600)
        if exec2_lock(lock.number) == 0 { return lock }
        guard Errno.last == .wouldBlock else { throw SystemError("lock", path) }
        return nil
    }

    /// The first bytes of a file in the directory. What somebody put in a file's place is an error, never
    /// waited for.
    func read(_ name: String, atMost count: Int) throws(SystemError) -> [UInt8] {
        let path = self.path + "/" + name
        let file = try OwnedDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        let facts = try file.facts(of: path)
        guard facts.type == EXEC2_FILE_REGULAR else { throw SystemError("use as a file", path, .invalidArgument) }
        try Self.checkOwner(facts, path)
        var buffer = [UInt8](repeating: 0, count: count)
        let length = buffer.withUnsafeMutableBytes { bytes in
            retrying { Glibc.read(file.number, bytes.baseAddress, bytes.count) }
        }
        guard length >= 0 else { throw SystemError("read", path) }
        buffer.removeLast(count - length)
        return buffer
    }

    /// Whether a process holds the control pipe open: a living Executor, or a Driver. Fails where the kernel does not
    /// tell.
    var isPipeHeld: Bool {
        get throws(SystemError) {
            do throws(SystemError) {
                _ = try OwnedDescriptor.open(path + "/" + StateFile.control, O_WRONLY | O_NONBLOCK | O_NOFOLLOW)
                return true
            } catch {
                // ENXIO: nobody has it open for reading (fifo(7)).
                if error.errno.rawValue == ENXIO || error.errno == .noSuchFile { return false }
                throw error
            }
        }
    }

    /// Whether the space that the Executor has reserved for the exit record is there: without it there will be none.
    var hasReservedRecord: Bool {
        access(path + "/" + StateFile.reserved, F_OK) == 0 || Errno.last != .noSuchFile && Errno.last != .notDirectory
    }

    /// The exit record; nil if it does not exist.
    package func readRecord() throws(RecordError) -> ExitRecord? {
        let path = self.path + "/" + StateFile.exit
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try read(StateFile.exit, atMost: ExitRecord.reservedSize + 1)
        } catch {
            if error.errno == .noSuchFile { return nil }
            throw .unreadable(error)
        }
        do throws(ExitRecordDamage) {
            let record = try bytes.span.bytes.withUnsafeBytes { (bytes) throws(ExitRecordDamage) in
                try ExitRecord.decode(bytes)
            }
            guard record.taskDirectory == name else { throw .notARecord }
            return record
        } catch {
            throw .damaged(path: path, error)
        }
    }

    /// Removes the directory with everything that an Executor or a Driver puts in it, or the file or symlink that
    /// somebody has put in its place. Returns the first failure, after all the rest is removed.
    func remove() -> SystemError? {
        var failure: SystemError?
        for file in StateFile.all {
            let path = self.path + "/" + file
            if unlink(path) == 0 || Errno.last == .noSuchFile || Errno.last == .notDirectory { continue }
            // An empty directory in a file's place is no loss either.
            if Errno.last == .isDirectory && rmdir(path) == 0 { continue }
            failure = failure ?? SystemError("remove", path)
        }
        if let failure { return failure }
        if rmdir(path) == 0 || Errno.last == .noSuchFile { return nil }
        if Errno.last == .notDirectory {
            return unlink(path) == 0 || Errno.last == .noSuchFile ? nil : SystemError("remove", path)
        }
        return SystemError("remove the directory", path)
    }
}

extension LaunchSpecification {
    /// The packed request of a task whose state directory this is.
    func encoded(session: UInt64, directory: TaskStateDirectory) -> [UInt8] {
        encoded(
            session: session, taskStateDirectory: directory.path, stateDirectory: directory.stateDirectory,
            bootID: Boot.id)
    }
}

/// Why an exit record that is there tells nothing.
package enum RecordError: Error, Sendable {
    case unreadable(SystemError)
    case damaged(path: String, ExitRecordDamage)

    var text: String {
        switch self {
        case .unreadable(let error): error.text
        case .damaged(let path, let damage): "\(path): \(damage.text)"
        }
    }
}
