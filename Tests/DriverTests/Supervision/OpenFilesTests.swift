import Glibc
import Testing

@testable import Planning
@testable import Supervision

@Suite struct OpenFilesTests {
    @Test(
        arguments: [
            ("pos:\t0\nflags:\t0100000\nmnt_id:\t1\nino:\t77\n", true, 77), ("flags:\t0100002\n", true, nil),
            ("flags:\t02104000\nino:\t1\n", true, 1), ("flags:\t0100001\n", false, nil),
            ("flags:\t010000000\n", false, nil),
            ("", false, nil), ("flags:\tx\nino:\ty\n", false, nil), ("ino:\t18446744073709551615\n", false, .max),
        ] as [(String, Bool, UInt64?)])
    func theKernelTellsOfADescriptor(_ text: String, _ reads: Bool, _ inode: UInt64?) {
        let facts = DescriptorFacts(fdinfo: text)
        #expect(facts.mayRead == reads)
        #expect(facts.inode == inode)
    }

    /// Seen before names were compared: every descriptor of the host was asked for, one on a dead network file system
    /// too, and that never comes back.
    @Test func onlyWhatHasTheNameIsAskedFor() throws {
        let directory = try TemporaryDirectory()
        let (path, other) = (directory.path + "/wanted.fifo", directory.path + "/other.fifo")
        #expect(mkfifo(path, 0o600) == 0)
        #expect(mkfifo(other, 0o600) == 0)
        let file = try #require(FileIdentity(fifo: path))
        let held = [path, other].map { (path: String) -> Int32 in open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) }
        defer { for number in held { close(number) } }
        var asked: [String] = []
        let read = OpenFiles.read(among: [.init(path: path, file: file, besides: 1)]) { link in
            asked.append(link)
            return FileIdentity(fifo: link)
        }
        #expect(read == [file])
        #expect(asked == ["/proc/\(getpid())/fd/\(held[0])"])
    }

    @Test func whoOnlyWritesOrDoesNotCountIsNoReader() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/wanted.fifo"
        #expect(mkfifo(path, 0o600) == 0)
        let file = try #require(FileIdentity(fifo: path))
        let reading = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(reading) }
        #expect(OpenFiles.read(among: [.init(path: path, file: file, besides: getpid())]).isEmpty)
        let writing = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(writing) }
        #expect(OpenFiles.read(among: [.init(path: path, file: file, besides: getpid())]).isEmpty)
        #expect(OpenFiles.read(among: [.init(path: path, file: file, besides: 1)]) == [file])
    }

    /// By another path, as a collector in another mount namespace has it, and when the file has been removed.
    @Test func theFileCountsWhateverLeadsToIt() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/wanted.fifo"
        #expect(mkfifo(path, 0o600) == 0)
        let file = try #require(FileIdentity(fifo: path))
        let reading = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(reading) }
        #expect(OpenFiles.read(among: [.init(path: "/elsewhere/wanted.fifo", file: file, besides: 1)]) == [file])
        #expect(unlink(path) == 0)
        #expect(OpenFiles.read(among: [.init(path: path, file: file, besides: 1)]) == [file])
    }
}
