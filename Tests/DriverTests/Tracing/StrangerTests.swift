import CLinux
import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Tracing

/// A process that has got the number of one of the task's.
@Suite struct StrangerTests {
    /// A program that runs until it is killed.
    private static func start() throws -> Int32 {
        var pid: Int32 = 0
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("600"), nil]
        defer { for word in words { free(word) } }
        try #require(posix_spawn(&pid, "/bin/sleep", nil, nil, &words, nil) == 0)
        return pid
    }

    private static func field(_ name: String, of pid: Int32) -> String? {
        guard let status = try? HostFile.read("/proc/\(pid)/status") else { return nil }
        let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
        return line.map { String($0.dropFirst(name.count).drop { $0 == "\t" }) }
    }

    /// It is in the list when that is read, and is not when it is traced.
    @Test func itRunsOnWithoutATracer() async throws {
        let pid = try Self.start()
        defer {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        let looks = Mutex(0)
        let analysis = TraceAnalysis(filter: { [] }, output: { _ in })
        let tracer = try Tracer(
            analysis: analysis,
            members: {
                looks.withLock { looks in
                    looks += 1
                    return looks == 1 ? [pid] : []
                }
            })
        let end = exec2_monotonic() + 10_000_000_000
        // Looked at twice in the first turn, and once more in the next: it has been let go of before that.
        while looks.withLock({ $0 }) < 3, exec2_monotonic() < end { usleep(5000) }
        #expect(Self.field("TracerPid:", of: pid) == "0")
        #expect(Self.field("State:", of: pid)?.hasPrefix("S") == true)
        tracer.end()
        let figures = await tracer.wait()
        #expect(figures.threads == 0 && figures.calls == 0 && figures.foreign == 0)
    }

    /// One that stays in the list is traced, until the end.
    @Test func aMemberIsTraced() async throws {
        let pid = try Self.start()
        defer {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        let tracer = try Tracer(analysis: TraceAnalysis(filter: { [] }, output: { _ in }), members: { [pid] })
        let end = exec2_monotonic() + 10_000_000_000
        while Self.field("TracerPid:", of: pid) == "0", exec2_monotonic() < end { usleep(5000) }
        #expect(Self.field("TracerPid:", of: pid) != "0")
        tracer.end()
        #expect(await tracer.wait().threads == 1)
        // The thread that traces has given its figures and ends now, and the kernel detaches.
        while Self.field("TracerPid:", of: pid) != "0", exec2_monotonic() < end { usleep(5000) }
        #expect(Self.field("TracerPid:", of: pid) == "0")
    }
}
