import Glibc
import Testing

@testable import HCLog
@testable import Planning
@testable import Supervision

@Suite struct LogTests {
    /// A pipe whose write end a logger writes to.
    private struct Pipe {
        let read: Int32
        let write: Int32
        /// F_SETPIPE_SZ (fcntl(2)).
        private static let setSize: Int32 = 1031

        init() {
            signal(SIGPIPE, SIG_IGN)
            var ends: [Int32] = [-1, -1]
            precondition(pipe(&ends) == 0)
            (read, write) = (ends[0], ends[1])
            // By default its size is that of 16 pages.
            _ = fcntl(write, Self.setSize, Int32(1 << 16))
        }

        func next() -> String {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = Glibc.read(read, &buffer, buffer.count)
            return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        }
    }

    @Test func lineIsHclogsJSON() throws {
        let pipe = Pipe()
        Logger(name: "exec2", sink: LogSink(descriptor: pipe.write)).named("part")
            .warn(
                "said \"hi\"\\\n\u{1}\u{7F}ü",
                ["n": -5, "on": true, "raw": [0x61, 0xFF, 0x62] as [UInt8], "a\"b": "c"]
            )
        let line = pipe.next()
        let time = #/"@timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"/#
        #expect(
            line.replacing(time, with: "TIME")
                == #"{"@level":"warn","@message":"said \"hi\"\\\n\u0001\u007fü","@module":"exec2.part",TIME,"#
                + #""n":-5,"on":true,"raw":"a\#u{FFFD}b","a\"b":"c"}"# + "\n")
    }

    @Test func longLinesStayWithinOneWrite() {
        let pipe = Pipe()
        let log = Logger(name: "exec2", sink: LogSink(descriptor: pipe.write))
        for text in ["\u{1}", "ü", "\"", "x", "😀"].map({ String(repeating: $0, count: 10_000) }) {
            log.error(text, ["first": text, "second": text, "third": 1])
            let line = pipe.next()
            #expect(line.utf8.count <= 4096)
            #expect(line.hasPrefix(#"{"@level":"error","@message":""#))
            #expect(line.hasSuffix(#","truncated":true}"# + "\n"))
            #expect(line.contains(#""@timestamp":""#))
            #expect(line.contains("\u{2026}\""))
            #expect(!line.contains("\u{FFFD}"))
        }
    }

    @Test func aFullPipeDropsAndCounts() {
        let pipe = Pipe()
        let log = Logger(name: "exec2", sink: LogSink(descriptor: pipe.write))
        let text = String(repeating: "x", count: 2000)
        for _ in 0..<1000 { log.info(text) }
        var written = 0
        while true {
            var waiting = pollfd(fd: pipe.read, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 0) == 1 else { break }
            written += pipe.next().utf8.count { $0 == UInt8(ascii: "\n") }
        }
        #expect(written > 10 && written < 100)
        log.info("after")
        #expect(pipe.next().contains(#""dropped_lines":\#(1000 - written)"#))
        log.info("then")
        #expect(!pipe.next().contains("dropped_lines"))
    }

    @Test func aReaderThatIsGoneDoesNoHarm() {
        let pipe = Pipe()
        close(pipe.read)
        let log = Logger(name: "exec2", sink: LogSink(descriptor: pipe.write))
        for _ in 0..<10 { log.info("to nobody") }
        close(pipe.write)
    }
}
