import Shared

/// The end of a command's output: what is older than its capacity is dropped.
struct OutputTail: Sendable {
    private let capacity: Int
    private var kept: [UInt8] = []
    /// Where the oldest byte stands once `kept` is full.
    private var start = 0

    /// - Parameter capacity: In bytes, more than 0.
    init(capacity: Int) { self.capacity = capacity }

    mutating func append(_ piece: [UInt8]) {
        var rest = piece[...]
        if rest.count >= capacity {
            kept = Array(rest.suffix(capacity))
            start = 0
            return
        }
        let room = capacity - kept.count
        kept += rest.prefix(room)
        rest = rest.dropFirst(room)
        for byte in rest {
            kept[start] = byte
            start = (start + 1) % capacity
        }
    }

    var bytes: [UInt8] { Array(kept[start...] + kept[..<start]) }
}

/// Both outputs of a command, as far as they are kept.
package final class OutputTails: Sendable {
    private let stdout: Mutex<OutputTail>
    private let stderr: Mutex<OutputTail>

    /// - Parameter capacity: Of each, in bytes.
    package init(capacity: Int) {
        stdout = Mutex(OutputTail(capacity: capacity))
        stderr = Mutex(OutputTail(capacity: capacity))
    }

    package func append(_ piece: [UInt8], _ output: ExecSession.Output) {
        switch output {
        case .stdout: stdout.withLock { $0.append(piece) }
        case .stderr: stderr.withLock { $0.append(piece) }
        }
    }

    package func bytes(of output: ExecSession.Output) -> [UInt8] {
        switch output {
        case .stdout: stdout.withLock { $0.bytes }
        case .stderr: stderr.withLock { $0.bytes }
        }
    }
}
