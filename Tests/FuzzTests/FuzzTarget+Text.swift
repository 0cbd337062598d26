import Glibc
import Shared

@testable import Commands
@testable import HCLog
@testable import Host
@testable import NomadPlugin
@testable import Planning
@testable import Supervision

/// Text that people and jobs write, and text of others' that the driver writes on.
extension FuzzTarget {
    static func unveilRule(_ text: String) {
        for directory in [nil, "/work"] {
            guard let rule = try? UnveilRule(parsing: text, relativeTo: directory) else { continue }
            precondition(rule.path.utf8.first == UInt8(ascii: "/"))
            precondition(!rule.path.utf8.contains(0))
            precondition((try? UnveilRule(parsing: rule.text)) == rule)
        }
    }

    /// One text as a name or a value of every kind.
    static func names(_ text: String) {
        if let number = SignalName.number(of: text) { precondition((1...64).contains(number)) }
        var list = CapabilityList()
        if list.add(text) { precondition(list.hasAll != (list.mask != 0)) }
        _ = SyscallGroup(rawValue: text)
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        if parts.count == 2, let limit = try? ResourceLimit(name: parts[0], value: parts[1]) {
            precondition(limit.soft <= limit.hard)
        }
        if let path = ExecutorCgroup.path(forTaskIn: text) {
            precondition(!path.utf8.split(separator: UInt8(ascii: "/")).map(Self.text).contains(".."))
        }
        user(text)
        stateDirectory(text)
        handshake(text)
    }

    /// On a host without accounts.
    private static func user(_ name: String) {
        var nobody = SystemAccounts()
        nobody.byName = { _, _, _, _, _ in ENOENT }
        nobody.byUID = { _, _, _, _, _ in ENOENT }
        guard let user = try? TaskUser.resolve(name, accounts: nobody) else { return }
        precondition(user.uid >= TaskUser.minimumDynamicID && user.uid < .max && user.gid == user.uid)
        precondition(user.name == "nomad-\(user.uid)")
    }

    private static func stateDirectory(_ id: String) {
        guard let name = try? stateDirectoryName(ofTask: id) else { return }
        precondition((1...255).contains(name.utf8.count) && ![".", ".."].contains(name))
        precondition(name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") })
    }

    private static func handshake(_ text: String) {
        let cookie = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
        for name in ["PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "TMPDIR"] {
            // TMPDIR counts for another user than root.
            let decision = PluginHandshake.decide(
                environment: ["NOMAD_PLUGIN_MAGIC_COOKIE": cookie, name: text], user: 33)
            guard case .serve(.named(let directory, _), _) = decision else { continue }
            let line = PluginHandshake.line(socket: directory + "/plugin", announcesMultiplexing: false)
            precondition(line.utf8.filter { $0 == UInt8(ascii: "\n") }.count == 1)
            precondition(line.utf8.filter { $0 == UInt8(ascii: "|") }.count == 5)
        }
    }

    /// The first byte chooses the command, the rest are its words with a NUL behind each.
    static func commandLine(_ bytes: UnsafeRawBufferPointer) {
        guard let choice = bytes.first else { return }
        let words = bytes.dropFirst().split(separator: 0, omittingEmptySubsequences: false).map(Self.text)
        switch choice % 3 {
        case 0:
            guard let options = try? RunOptions(words, directory: "/work", environment: ["HERE": "x"]) else { return }
            let paths = options.unveil.map(\.path) + options.volumes.map(\.hostPath) + [options.stateParent]
            precondition((paths + [options.workDir ?? "/"]).allSatisfy { $0.utf8.first == UInt8(ascii: "/") })
            precondition(options.environment.keys.allSatisfy { !$0.isEmpty && !$0.utf8.contains(UInt8(ascii: "=")) })
            precondition(options.confinement.ulimits.allSatisfy { $0.soft <= $0.hard })
            _ = RunLimits(options, obstacles: ["memory": "none"], megahertzPerCore: nil)
        case 1:
            guard let options = try? ExecOptions(words) else { return }
            precondition(!options.task.isEmpty && options.command.first?.isEmpty == false)
        default:
            for command in Command.all { _ = try? OptionScanner(options: command.options).scan(words) }
        }
    }

    // MARK: What is written

    /// Any text becomes one line of JSON for the agent (hclog), and one line for a person.
    static func logLine(_ text: String) {
        var line = LogLine()
        line.field("@message", text)
        line.field(text, text)
        line.field("bytes", Array(text.utf8))
        let bytes = line.finish()
        precondition(bytes.count <= LogLine.capacity && bytes.last == UInt8(ascii: "\n"))
        precondition(isObject(bytes.dropLast()))
        var object = JSONObject()
        object.add(text, text)
        precondition(isObject(Array(object.text.utf8)[...]))
        precondition(quoted(text).unicodeScalars.allSatisfy { $0.properties.generalCategory != .control })
        precondition(!text.onOneLine.utf8.contains { $0 < 0x20 })
    }

    /// Whether it is an object of strings and bare words (RFC 8259), without a control character anywhere.
    private static func isObject(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}") else { return false }
        var inText = false
        var escapes = false
        var colons = 0
        var commas = 0
        for byte in bytes.dropFirst().dropLast() {
            if byte < 0x20 { return false }
            switch byte {
            case _ where escapes:
                guard "\"\\/bfnrtu".utf8.contains(byte) else { return false }
                escapes = false
            case UInt8(ascii: "\\"):
                guard inText else { return false }
                escapes = true
            case UInt8(ascii: "\""): inText.toggle()
            case UInt8(ascii: ":") where !inText: colons += 1
            case UInt8(ascii: ",") where !inText: commas += 1
            default: break
            }
        }
        return !inText && !escapes && colons == commas + 1
    }
}
