import Glibc
import Shared

/// A task's path that begins with /proc, and where it leads.
///
/// The links there to a process's directories and files must not be followed by the tracer: they lead into the task's
/// root with the tracer's rights, and the task's symlinks could lead on to anywhere. So their text is resolved instead.
enum ProcPath {
    /// Leads to these components below /proc; the first is "self" for any process.
    case inside([String])
    /// Leads to these components below /.
    case outside([String])
    case unknown

    init(_ rest: [String], followsLink: Bool, _ process: Int32) {
        var names: [String] = []
        for (index, name) in rest.enumerated() {
            let left = Array(rest[(index + 1)...])
            if name == ".." {
                guard !names.isEmpty else {
                    self = .outside(left)
                    return
                }
                names.removeLast()
                continue
            }
            // The task's other processes would have the same permissions, and pids differ from run to run.
            names.append(names.isEmpty && Self.isProcess(name) ? "self" : name)
            guard Self.isLink(names), followsLink || !left.isEmpty else { continue }
            let target = TraceeReader.link("/proc/" + Self.path(names, process))
            self = target.map { .outside(HostWalk.components($0) + left) } ?? .unknown
            return
        }
        self = .inside(names)
    }

    /// An absolute path in which links of /proc are replaced by what they lead to, since they vanish with the process;
    /// nil if that has no path.
    static func resolved(_ path: String, of process: Int32) -> String? {
        var path = path
        for _ in 0..<maximumLinks {
            guard path.hasPrefix("/proc/") else { return path }
            switch ProcPath(HostWalk.components(String(path.dropFirst(6))), followsLink: false, process) {
            case .inside: return path
            case .outside(let rest): path = "/" + rest.joined(separator: "/")
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

    /// Whether it is a magic link, which leads to an object rather than to a path (symlink(7)).
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
