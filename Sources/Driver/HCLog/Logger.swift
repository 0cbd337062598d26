import Glibc

/// Levels as hclog, the agent's log library, names them.
package enum LogLevel: String, Sendable {
    case trace, debug, info, warn, error
}

/// The driver's log: lines of JSON on stderr, which the agent reads and emits again at their level.
/// Filtering is the agent's; everything is written.
package struct Logger: Sendable {
    package typealias Fields = KeyValuePairs<String, any LogValue>

    /// The subsystem ("exec2.rpc"), shown by the agent before the message.
    let name: String
    private let sink: LogSink

    package init(name: String, sink: LogSink = .standardError) {
        self.name = name
        self.sink = sink
    }

    /// A logger of a part of this one's subsystem.
    package func named(_ part: String) -> Logger {
        Logger(name: name + "." + part, sink: sink)
    }

    func trace(_ message: String, _ fields: Fields = [:]) { log(.trace, message, fields) }
    package func debug(_ message: String, _ fields: Fields = [:]) { log(.debug, message, fields) }
    package func info(_ message: String, _ fields: Fields = [:]) { log(.info, message, fields) }
    package func warn(_ message: String, _ fields: Fields = [:]) { log(.warn, message, fields) }
    package func error(_ message: String, _ fields: Fields = [:]) { log(.error, message, fields) }

    package func log(_ level: LogLevel, _ message: String, _ fields: Fields) {
        sink.write { dropped in
            var line = LogLine()
            line.field("@level", level.rawValue)
            line.field("@message", message)
            line.field("@module", name)
            line.field("@timestamp", Self.timestamp())
            if dropped > 0 { line.field("dropped_lines", dropped) }
            for (key, value) in fields { line.field(key, value) }
            return line.finish()
        }
    }

    /// Now, as RFC 3339 with microseconds, in UTC: reading the local zone's file per process start
    /// would cost more than the line.
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return timestamp(now)
    }

    /// The same of another time.
    /// - Parameter nanoseconds: Since the epoch.
    package static func timestamp(_ nanoseconds: Int64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        return timestamp(timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds - seconds * 1_000_000_000)))
    }

    private static func timestamp(_ time: timespec) -> String {
        var time = time
        var fields = tm()
        gmtime_r(&time.tv_sec, &fields)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = [Int(fields.tm_year) + 1900, Int(fields.tm_mon) + 1, Int(fields.tm_mday)]
        let clock = [fields.tm_hour, fields.tm_min, fields.tm_sec].map { padded(Int($0), 2) }
        return padded(date[0], 4) + "-" + padded(date[1], 2) + "-" + padded(date[2], 2)
            + "T" + clock.joined(separator: ":") + "." + padded(time.tv_nsec / 1000, 6) + "+00:00"
    }
}
