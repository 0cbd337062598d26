import Glibc
import Shared
import Testing

@testable import Planning
@testable import Supervision

@Suite struct TaskFolderTests {
    private static let record = ExitRecord(
        taskFolder: "a+web", exitCode: 7, signal: 0, oomKilled: false, startedAt: 1, endedAt: 2, pid: 3)

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

    @Test func aFolderIsItsOwnersAloneAndHasItsPipes() throws {
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a+web", in: place.path + "/state")
        #expect(mode(folder.path) == S_IFDIR | 0o700)
        #expect(mode(folder.path + "/control") == S_IFIFO | 0o600)
        #expect(mode(folder.path + "/events") == S_IFIFO | 0o600)
        let error = #expect(throws: SystemError.self) {
            try TaskFolder.create("a+web", in: place.path + "/state")
        }
        #expect(error?.errno == .fileExists)
        #expect(folder.remove() == nil)
        #expect(folder.remove() == nil)
        #expect(mode(folder.path) == 0)
        rmdir(place.path + "/state")
    }

    @Test func whatAnotherUserHasMadeIsNotBelieved() throws {
        // Only root can give a file away.
        guard geteuid() == 0 else { return }
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a+web", in: place.path)
        try write(encoded(Self.record), to: folder.path + "/exit")
        #expect(try folder.readRecord()?.exitCode == 7)
        for name in ["exit", "control"] { try #require(chown(folder.path + "/" + name, 4711, 0) == 0) }
        do throws(RecordError) {
            _ = try folder.readRecord()
            Issue.record("believed")
        } catch {
            #expect(
                error.text
                    == "cannot use, since it belongs to user 4711, \(folder.path)/exit: Permission denied")
        }
        #expect(throws: SystemError.self) { _ = try folder.openPipe("control") }
        #expect(folder.remove() == nil)
    }

    @Test func oneSessionAtATimeHoldsTheLock() throws {
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a", in: place.path)
        do {
            let first = try folder.lock()
            let second = try folder.lock()
            let (firstHolds, secondHolds) = (first != nil, second != nil)
            #expect(firstHolds && !secondHolds)
        }
        let third = try folder.lock()
        let thirdHolds = third != nil
        #expect(thirdHolds)
        #expect(folder.remove() == nil)
    }

    @Test func aPipeThatIsNoPipeAnyMoreIsRefused() throws {
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a", in: place.path)
        let path = folder.path + "/control"
        unlink(path)
        try write([], to: path)
        #expect(throws: SystemError("use as a pipe", path, .invalidArgument)) {
            _ = try folder.openPipe("control").number
        }
        unlink(path)
        symlink("events", path)
        #expect(throws: SystemError("open", path, .tooManySymlinks)) {
            _ = try folder.openPipe("control").number
        }
        #expect(folder.remove() == nil)
    }

    @Test func aRecordIsReadAsItWasWritten() throws {
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a+web", in: place.path)
        #expect(try folder.readRecord() == nil)
        try write(encoded(Self.record), to: folder.path + "/exit")
        #expect(try folder.readRecord() == Self.record)
        #expect(folder.remove() == nil)
    }

    @Test func aRecordThatTellsNothingIsAnErrorWithItsPath() throws {
        let place = try TemporaryFolder()
        let folder = try TaskFolder.create("a+web", in: place.path)
        let path = folder.path + "/exit"
        func damage() -> String? {
            do throws(RecordError) {
                _ = try folder.readRecord()
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
        other.taskFolder = "a+db"
        try write(encoded(other), to: path)
        #expect(damage() == "\(path): the file is not an exit record")
        unlink(path)
        symlink("/dev/null", path)
        #expect(damage() == "cannot open \(path): Too many levels of symbolic links")
        #expect(folder.remove() == nil)
    }
}

extension TaskFolder {
    /// A folder whose session nobody holds.
    fileprivate static func create(_ name: String, in stateFolder: String) throws(SystemError) -> TaskFolder {
        mkdir(stateFolder, 0o700)
        let folder = TaskFolder(stateFolder: stateFolder, name: name)
        _ = try folder.create()
        return folder
    }
}
