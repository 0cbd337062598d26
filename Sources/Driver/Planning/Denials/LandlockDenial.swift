import Shared

/// Something that a task's sandbox has denied, and what would allow it.
package struct LandlockDenial: Equatable, Sendable {
    /// The kernel's names of what was lacking: `fs.read_file`, `net.bind_tcp`.
    let blockers: [String]
    /// Of what was accessed; of the directory, where something in it was to be created or removed.
    let path: [UInt8]?
    let port: UInt16?

    init(blockers: [String], path: [UInt8]? = nil, port: UInt16? = nil) {
        self.blockers = blockers
        self.path = path
        self.port = port
    }

    init?(_ fields: AuditFields) {
        let names = (fields.plain("blockers") ?? "").split(separator: ",", omittingEmptySubsequences: false).map(
            String.init)
        guard !names.isEmpty, names.allSatisfy(Self.isName) else { return nil }
        blockers = names
        path = fields.untrusted("path")
        // The peer's port, or the socket's own: whichever the kernel names.
        port = fields.number("dest", as: UInt16.self) ?? fields.number("src", as: UInt16.self)
    }

    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || [0x2E, 0x5F].contains($0)
            }
    }

    /// The modes that a rule for the path lacks; empty where it is not about files.
    var modes: AccessModes {
        var modes: AccessModes = []
        for blocker in blockers {
            switch blocker {
            // The kernel reads a program to run it.
            case "fs.execute": modes.formUnion([.read, .execute])
            case "fs.read_file", "fs.read_dir": modes.insert(.read)
            case "fs.write_file", "fs.truncate", "fs.ioctl_dev", "fs.resolve_unix": modes.insert(.write)
            case "fs.make_reg", "fs.make_dir", "fs.make_sym", "fs.make_sock", "fs.make_fifo", "fs.remove_file",
                "fs.remove_dir", "fs.refer":
                modes.insert(.create)
            default: return []
            }
        }
        return modes
    }

    /// What would allow it, as a job or an operator writes it; nil where nothing does.
    var remedy: String? {
        if let path, path.first == UInt8(ascii: "/"), !modes.isEmpty {
            return "the unveil rule "
                + quoted(modes.letters + ":" + String(decoding: path, as: UTF8.self), limit: 4096)
        }
        switch blockers {
        case ["scope.abstract_unix_socket"]: return "the plugin option abstract_sockets = true"
        case _ where port != nil && blockers.count == 1: return portOption.map { "the port in the task option \($0)" }
        default: return nil
        }
    }

    private var portOption: String? {
        switch blockers.first {
        case "net.bind_tcp": "tcp_bind"
        case "net.connect_tcp": "tcp_connect"
        case "net.bind_udp": "udp_bind"
        case "net.connect_udp", "net.connect_send_udp": "udp_connect"
        default: nil
        }
    }

    /// What it is told once by: two denials that one rule would allow are one.
    package var key: String { (remedy ?? blockers.joined(separator: ",") + shownPath) + (port.map { " \($0)" } ?? "") }

    /// The sentence for the task's events.
    package var message: String {
        var text = "the sandbox denied \(action)"
        if let port { text += " \(port)" }
        text += shownPath + " (Landlock: \(blockers.joined(separator: ", ")))"
        return text + (remedy.map { "; \($0) allows it" } ?? "; no rule allows it")
    }

    private var action: String {
        if modes.contains(.create) { return "creating, renaming or removing something in" }
        if modes.contains(.execute) { return "executing" }
        if modes.contains(.write) { return blockers == ["fs.resolve_unix"] ? "connecting to" : "writing to" }
        if modes.contains(.read) { return "reading" }
        switch portOption {
        case "tcp_bind": return "binding TCP port"
        case "tcp_connect": return "connecting to TCP port"
        case "udp_bind": return "binding UDP port"
        case "udp_connect": return "connecting or sending to UDP port"
        default:
            return blockers == ["scope.abstract_unix_socket"] ? "connecting to an abstract unix socket," : "an access"
        }
    }

    /// With a blank before it. The name of an abstract socket begins with NUL.
    private var shownPath: String {
        guard let path else { return "" }
        if path.first == 0 { return " " + quoted("@" + String(decoding: path.dropFirst(), as: UTF8.self)) }
        return " " + quoted(String(decoding: path, as: UTF8.self))
    }
}
