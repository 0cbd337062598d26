import Glibc
import Testing

@testable import Planning
@testable import Supervision

@Suite struct ExecutorOriginTests {
    /// A folder that is removed at the end.
    private static func inFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/exec2-origin-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["a", "b"] { unlink(folder + "/" + name) }
            rmdir(folder)
        }
        try body(folder)
    }

    private static func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
    }

    @Test func theSameFileIsTheSameOrigin() throws {
        try Self.inFolder { folder in
            try Self.write("one", to: folder + "/a")
            let origin = try #require(ExecutorOrigin(program: folder + "/a", cgroup: nil))
            #expect(origin == ExecutorOrigin(program: folder + "/a", cgroup: nil))
        }
    }

    @Test func anotherCgroupOrPathIsAnother() throws {
        try Self.inFolder { folder in
            try Self.write("one", to: folder + "/a")
            link(folder + "/a", folder + "/b")
            let origin = try #require(ExecutorOrigin(program: folder + "/a", cgroup: "/x"))
            #expect(origin != ExecutorOrigin(program: folder + "/a", cgroup: nil))
            #expect(origin != ExecutorOrigin(program: folder + "/a", cgroup: "/y"))
            #expect(origin != ExecutorOrigin(program: folder + "/b", cgroup: "/x"))
        }
    }

    /// As an upgrade replaces it: beside, then in its place.
    @Test func anotherFileOfTheNameIsAnother() throws {
        try Self.inFolder { folder in
            try Self.write("one", to: folder + "/a")
            let origin = try #require(ExecutorOrigin(program: folder + "/a", cgroup: nil))
            try Self.write("one", to: folder + "/b")
            rename(folder + "/b", folder + "/a")
            #expect(origin != ExecutorOrigin(program: folder + "/a", cgroup: nil))
        }
    }

    @Test func whatIsNotThereIsNone() {
        #expect(ExecutorOrigin(program: "/nonexistent/executor", cgroup: nil) == nil)
    }
}
