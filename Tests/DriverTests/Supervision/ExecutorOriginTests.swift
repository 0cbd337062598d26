import Glibc
import Testing

@testable import Planning
@testable import Supervision

@Suite struct ExecutorOriginTests {
    /// A directory that is removed at the end.
    private static func inDirectory(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/exec2-origin-XXXXXX".utf8CString)
        let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer {
            for name in ["a", "b"] { unlink(directory + "/" + name) }
            rmdir(directory)
        }
        try body(directory)
    }

    private static func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
    }

    @Test func theSameFileIsTheSameOrigin() throws {
        try Self.inDirectory { directory in
            try Self.write("one", to: directory + "/a")
            let origin = try #require(ExecutorOrigin(program: directory + "/a", cgroup: nil))
            #expect(origin == ExecutorOrigin(program: directory + "/a", cgroup: nil))
        }
    }

    @Test func anotherCgroupOrPathIsAnother() throws {
        try Self.inDirectory { directory in
            try Self.write("one", to: directory + "/a")
            link(directory + "/a", directory + "/b")
            let origin = try #require(ExecutorOrigin(program: directory + "/a", cgroup: "/x"))
            #expect(origin != ExecutorOrigin(program: directory + "/a", cgroup: nil))
            #expect(origin != ExecutorOrigin(program: directory + "/a", cgroup: "/y"))
            #expect(origin != ExecutorOrigin(program: directory + "/b", cgroup: "/x"))
        }
    }

    /// As an upgrade replaces it: beside, then in its place.
    @Test func anotherFileOfTheNameIsAnother() throws {
        try Self.inDirectory { directory in
            try Self.write("one", to: directory + "/a")
            let origin = try #require(ExecutorOrigin(program: directory + "/a", cgroup: nil))
            try Self.write("one", to: directory + "/b")
            rename(directory + "/b", directory + "/a")
            #expect(origin != ExecutorOrigin(program: directory + "/a", cgroup: nil))
        }
    }

    @Test func whatIsNotThereIsNone() {
        #expect(ExecutorOrigin(program: "/nonexistent/executor", cgroup: nil) == nil)
    }
}
