import Glibc
import Shared

/// Where a task's path leads that begins with /proc, whose links to a process's directories and files must not be followed
/// from outside: they would lead into the task's root with the tracer's rights, and by its symlinks to anywhere.
enum ProcWay {
    /// Stays in /proc, by these names; the first is "self" for any process.
    case inside([String])
    /// Leads to this path below /.
    case onwards([String])
    case unknown

    init(_ rest: [String], followsLink: Bool, _ process: Int32) {
        var names: [String] = []
        for (index, name) in rest.enumerated() {
            let left = Array(rest[(index + 1)...])
            if name == ".." {
                guard !names.isEmpty else {
                    self = .onwards(left)
                    return
                }
                names.removeLast()
                continue
            }
            // Another process of the task's would have the same permissions, and a pid of today says nothing of the next try.
            names.append(names.isEmpty && Self.isProcess(name) ? "self" : name)
            guard Self.isLink(names), followsLink || !left.isEmpty else { continue }
            let target = TraceeReader.link("/proc/" + Self.path(names, process))
            self = target.map { .onwards(HostWalk.components($0) + left) } ?? .unknown
            return
        }
        self = .inside(names)
    }

    /// An absolute path without links of /proc on its way, which lead nowhere any more when the process has ended; nil where
    /// they lead to no path.
    static func resolved(_ path: String, of process: Int32) -> String? {
        var path = path
        for _ in 0..<maximumLinks {
            guard path.hasPrefix("/proc/") else { return path }
            switch ProcWay(HostWalk.components(String(path.dropFirst(6))), followsLink: false, process) {
            case .inside: return path
            case .onwards(let rest): path = "/" + rest.joined(separator: "/")
            case .unknown: return nil
            }
        }
        return nil
    }

    private static let maximumLinks = 8

    /// The path below /proc.
    static func path(_ names: [String], _ process: Int32) -> String {
        (names.first == "self" ? [String(process)] + names.dropFirst() : names).joined(separator: "/")
    }

    private static func isProcess(_ name: String) -> Bool {
        name == "self" || name == "thread-self" || name.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    }

    /// Whether it is a link that leads to an object rather than by a text (proc_pid_fd(5) and others).
    private static func isLink(_ names: [String]) -> Bool {
        guard names.first == "self" else { return false }
        var own = names.dropFirst()
        if own.first == "task" { own = own.dropFirst(2) }
        switch own.count {
        case 1: return own.first.map { ["cwd", "exe", "root"].contains($0) } ?? false
        case 2: return own.first.map { ["fd", "map_files", "ns"].contains($0) } ?? false
        default: return false
        }
    }
}
