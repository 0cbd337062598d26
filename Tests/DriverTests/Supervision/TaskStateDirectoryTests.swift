import Glibc
import Shared
import Testing

@testable import Planning
@testable import Supervision

@Suite struct TaskStateDirectoryTests {
    private static let record = ExitRecord(
        taskDirectory: "a+web", exitCode: 7, signal: 0, oomKilled: false, startedAt: 1, endedAt: 2, pid: 3)

    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
    }

    private func encoded(_ record: ExitRecord) -> [UInt8] {
        withUnsafeTemporaryAllocation(byteCount: ExitRecord.reservedSize, alignment: 16) {
            Array(record.encode(into: $0))
        }
    }

    private func mode(_ path: String) -> mode_t {
        var facts = stat()
        return lstat(path, &facts) == 0 ? facts.st_mode : 0
    }

    @Test func aDirectoryIsItsOwnersAloneAndHasItsPipes() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a+web", in: place.path + "/state")
        #expect(mode(directory.path) == S_IFDIR | 0o700)
        #expect(mode(directory.path + "/control") == S_IFIFO | 0o600)
        #expect(mode(directory.path + "/events") == S_IFIFO | 0o600)
        let error = #expect(throws: SystemError.self) {
            try TaskStateDirectory.create("a+web", in: place.path + "/state")
        }
        #expect(error?.errno == .fileExists)
        #expect(directory.remove() == nil)
        #expect(directory.remove() == nil)
        #expect(mode(directory.path) == 0)
        rmdir(place.path + "/state")
    }

    @Test func whatAnotherUserHasMadeIsNotBelieved() throws {
        // Only root can give a file away.
        guard geteuid() == 0 else { return }
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a+web", in: place.path)
        try write(encoded(Self.record), to: directory.path + "/exit")
        #expect(try directory.readRecord()?.exitCode == 7)
        for name in ["exit", "control"] { try #require(chown(directory.path + "/" + name, 4711, 0) == 0) }
        do throws(RecordError) {
            _ = try directory.readRecord()
            Issue.record("believed")
        } catch {
            #expect(
                error.text
                    == "cannot use, since it belongs to user 4711, \(directory.path)/exit: Permission denied")
        }
        #expect(throws: SystemError.self) { _ = try directory.openPipe("control") }
        #expect(directory.remove() == nil)
    }

    @Test func oneSessionAtATimeHoldsTheLock() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a", in: place.path)
        do {
            let first = try directory.lock()
            let second = try directory.lock()
            let (firstHolds, secondHolds) = (first != nil, second != nil)
            #expect(firstHolds && !secondHolds)
        }
        let third = try directory.lock()
        let thirdHolds = third != nil
        #expect(thirdHolds)
        #expect(directory.remove() == nil)
    }

    private func inode(_ path: String) -> ino_t {
        var facts = stat()
        return lstat(path, &facts) == 0 ? facts.st_ino : 0
    }

    /// The descriptors of this process that lead into a directory.
    private func descriptors(in directory: TaskStateDirectory) -> Int {
        OpenFiles.links(of: getpid()).count { $0.path.hasPrefix(directory.path + "/") }
    }

    private func isBusy(_ directory: TaskStateDirectory) -> Bool {
        do throws(SystemError) {
            _ = try SessionPipes(directory)
            return false
        } catch {
            return error.errno == .busy
        }
    }

    /// A Driver of an earlier release locks the file `lock` and opens the pipes.
    @Test func theLockIsTheEventsPipe() throws {
        let place = try TemporaryDirectory()
        let directory = TaskStateDirectory(stateDirectory: place.path, name: "a")
        do {
            let pipes = try directory.create()
            #expect(inode(directory.path + "/lock") == inode(directory.path + "/events"))
            #expect(descriptors(in: directory) == 2)
            let second = try directory.lock()
            let secondHolds = second != nil
            #expect(!secondHolds)
            #expect(isBusy(directory))
            #expect(pipes.damage == nil)
        }
        do {
            let earlier = try directory.lock()
            let earlierHolds = earlier != nil
            #expect(earlierHolds)
            #expect(isBusy(directory))
        }
        #expect(!isBusy(directory))
        #expect(directory.remove() == nil)
        #expect(place.names.isEmpty)
    }

    /// The Executor writes to the pipe that it has opened.
    @Test func anotherPipeInThePlaceOfEventsIsRefused() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a", in: place.path)
        unlink(directory.path + "/events")
        try #require(mkfifo(directory.path + "/events", 0o600) == 0)
        let error = #expect(throws: SystemError.self) { _ = try SessionPipes(directory) }
        #expect(error?.text.contains("another file has taken its name") ?? false)
        #expect(!isBusy(directory))
    }

    /// As an earlier release makes it, and as it is after somebody has removed the lock.
    @Test func aLockOfItsOwnIsHeldBesideThePipes() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a", in: place.path)
        unlink(directory.path + "/lock")
        do {
            let pipes = try SessionPipes(directory)
            #expect(inode(directory.path + "/lock") != inode(directory.path + "/events"))
            #expect(descriptors(in: directory) == 3)
            let second = try directory.lock()
            let secondHolds = second != nil
            #expect(!secondHolds)
            #expect(pipes.damage == nil)
            // What the Executor says comes through `events`.
            let writer = open(directory.path + "/events", O_WRONLY | O_NONBLOCK)
            defer { close(writer) }
            #expect(Glibc.write(writer, "x", 1) == 1)
            var byte: UInt8 = 0
            #expect(Glibc.read(pipes.events.number, &byte, 1) == 1)
        }
        #expect(!isBusy(directory))
        #expect(directory.remove() == nil)
    }

    @Test func aPipeThatIsNoPipeAnyMoreIsRefused() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a", in: place.path)
        let path = directory.path + "/control"
        unlink(path)
        try write([], to: path)
        #expect(throws: SystemError("use as a pipe", path, .invalidArgument)) {
            _ = try directory.openPipe("control").number
        }
        unlink(path)
        symlink("events", path)
        #expect(throws: SystemError("open", path, .tooManySymlinks)) {
            _ = try directory.openPipe("control").number
        }
        #expect(directory.remove() == nil)
    }

    /// Only a pipe that is missing, or that nobody has open, is not held: what the kernel does not tell is an error.
    @Test func aPipeIsHeldOrNotOrTheKernelDoesNotTell() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a", in: place.path)
        #expect(try !directory.isPipeHeld)
        do {
            let pipe = try directory.openPipe("control")
            #expect(try directory.isPipeHeld)
            _ = consume pipe
        }
        #expect(try !directory.isPipeHeld)
        unlink(directory.path + "/control")
        #expect(try !directory.isPipeHeld)
        symlink("events", directory.path + "/control")
        #expect(throws: SystemError("open", directory.path + "/control", .tooManySymlinks)) {
            _ = try directory.isPipeHeld
        }
        #expect(directory.remove() == nil)
    }

    /// A file or a symlink in the directory's place is no directory, and is removed as one.
    @Test func whatHasADirectorysPlaceIsRemoved() throws {
        let place = try TemporaryDirectory()
        let directory = TaskStateDirectory(stateDirectory: place.path, name: "a")
        try write([], to: directory.path)
        #expect(try !directory.exists)
        #expect(!directory.hasReservedRecord)
        #expect(directory.remove() == nil)
        symlink("nowhere", directory.path)
        #expect(try !directory.exists)
        #expect(directory.remove() == nil)
        #expect(place.names.isEmpty)
    }

    @Test func aRecordIsReadAsItWasWritten() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a+web", in: place.path)
        #expect(try directory.readRecord() == nil)
        try write(encoded(Self.record), to: directory.path + "/exit")
        #expect(try directory.readRecord() == Self.record)
        #expect(directory.remove() == nil)
    }

    @Test func aRecordThatTellsNothingIsAnErrorWithItsPath() throws {
        let place = try TemporaryDirectory()
        let directory = try TaskStateDirectory.create("a+web", in: place.path)
        let path = directory.path + "/exit"
        func damage() -> String? {
            do throws(RecordError) {
                _ = try directory.readRecord()
                return nil
            } catch {
                return error.text
            }
        }
        try write([], to: path)
        #expect(damage() == "\(path): the exit record is cut off after 0 bytes")
        try write(Array(encoded(Self.record).dropLast()), to: path)
        #expect(damage() == "\(path): the exit record's length does not match its header")
        try write([UInt8](repeating: 0, count: 10_000), to: path)
        #expect(damage() == "\(path): the file is not an exit record")
        var other = Self.record
        other.taskDirectory = "a+db"
        try write(encoded(other), to: path)
        #expect(damage() == "\(path): the file is not an exit record")
        unlink(path)
        symlink("/dev/null", path)
        #expect(damage() == "cannot open \(path): Too many levels of symbolic links")
        #expect(directory.remove() == nil)
    }
}

extension TaskStateDirectory {
    /// A directory whose session nobody holds.
    fileprivate static func create(_ name: String, in stateDirectory: String) throws(SystemError) -> TaskStateDirectory
    {
        mkdir(stateDirectory, 0o700)
        let directory = TaskStateDirectory(stateDirectory: stateDirectory, name: name)
        _ = try directory.create()
        return directory
    }
}
