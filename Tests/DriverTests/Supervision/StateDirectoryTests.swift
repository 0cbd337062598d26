import Glibc
import Shared
import Testing

@testable import Host
@testable import Planning

@Suite struct StateDirectoryTests {
    private func facts(_ path: String) -> (mode: mode_t, owner: uid_t) {
        var facts = stat()
        return lstat(path, &facts) == 0 ? (facts.st_mode, facts.st_uid) : (0, 0)
    }

    private func refusal(_ path: String) -> StateDirectoryFault? {
        do throws(StateDirectoryFault) {
            _ = try StateDirectory(path: path).prepare()
            return nil
        } catch {
            return error
        }
    }

    @Test func itIsMadeWithItsParentsForItsOwnerAlone() throws {
        let place = try TemporaryDirectory()
        let path = place.path + "/a/b/state"
        defer { for name in ["/a/b/state", "/a/b", "/a"] { rmdir(place.path + name) } }
        #expect(StateDirectory(path: path).fault == nil)
        #expect(facts(path).mode == 0)
        #expect(refusal(path) == nil)
        #expect(facts(path).mode == S_IFDIR | 0o700)
        #expect(refusal(path + "/") == nil)
    }

    @Test func oneThatOthersMayEnterIsClosed() throws {
        let place = try TemporaryDirectory()
        let path = place.path + "/state"
        try #require(mkdir(path, 0o777) == 0)
        defer { rmdir(path) }
        chmod(path, 0o777)
        #expect(refusal(path) == nil)
        #expect(facts(path).mode == S_IFDIR | 0o700)
    }

    @Test func aFileOrASymlinkIsRefused() throws {
        let place = try TemporaryDirectory()
        close(open(place.path + "/file", O_WRONLY | O_CREAT, 0o600))
        symlink("/tmp", place.path + "/link")
        for name in ["file", "link"] {
            let path = place.path + "/" + name
            #expect(refusal(path) == .unusable(path, .notDirectory))
            #expect(
                refusal(path)?.text == "cannot use the state directory \(path) (option state_dir): Not a directory")
            #expect(StateDirectory(path: path).fault == refusal(path))
            unlink(path)
        }
    }

    @Test func belowADirectoryThatOthersMayWriteToItIsRefused() throws {
        let place = try TemporaryDirectory()
        let open = place.path + "/open"
        try #require(mkdir(open, 0o777) == 0)
        defer { rmdir(open) }
        chmod(open, 0o777)
        let path = open + "/state"
        let refused = refusal(path)
        #expect(refused == .untrustedPath(path, .writable(open, true)))
        #expect(
            refused?.text
                == "cannot use the state directory \(path) (option state_dir): others may write to \(open), so they could replace "
                + "what is in it")
        #expect(
            refused?.remedy
                == "take away that right (chmod go-w \(open)), or set the plugin option state_dir to a path that root alone can "
                + "write to")
        #expect(facts(path).mode == 0)
    }

    @Test func anotherUsersIsTakenBackWhereNobodyElseCanMakeOne() throws {
        // Only root can give a directory away.
        guard geteuid() == 0 else { return }
        let place = try TemporaryDirectory()
        let path = place.path + "/state"
        try #require(mkdir(path, 0o755) == 0)
        defer { rmdir(path) }
        chown(path, 4711, 4711)
        #expect(StateDirectory(path: path).fault == nil)
        #expect(try StateDirectory(path: path).prepare() == 4711)
        #expect(facts(path) == (S_IFDIR | 0o700, 0))
        #expect(try StateDirectory(path: path).prepare() == nil)
    }

    @Test func anotherUsersInASharedDirectoryIsRefused() throws {
        guard geteuid() == 0 else { return }
        let place = try TemporaryDirectory()
        let shared = place.path + "/shared"
        try #require(mkdir(shared, 0o777) == 0)
        chmod(shared, 0o1777)
        let path = shared + "/state"
        try #require(mkdir(path, 0o755) == 0)
        defer { for name in [path, shared] { rmdir(name) } }
        chown(path, 4711, 4711)
        #expect(refusal(path) == .takenByOther(path, 4711))
        #expect(facts(path).owner == 4711)
        chown(path, 0, 0)
        #expect(refusal(path) == nil)
    }
}
