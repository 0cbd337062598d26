import Glibc
import Shared

/// What a resolv.conf(5) says.
package struct ResolverConfiguration: Equatable, Sendable {
    package var servers: [String] = []
    var searches: [String] = []
    var options: [String] = []

    package init(servers: [String] = [], searches: [String] = [], options: [String] = []) {
        self.servers = servers
        self.searches = searches
        self.options = options
    }

    /// As the C library reads it: lines and words are parted by ASCII's blanks alone, and of the lines `search` and
    /// `domain` the last counts.
    package init(parsing text: String) {
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            let words = line.prefix { $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: ";") }
                .split { " \t\r".utf8.contains($0) }.map { String(Substring($0)) }
            switch words.first {
            case "nameserver": servers += words.dropFirst().prefix(1)
            case "search": searches = Array(words.dropFirst())
            case "domain": searches = Array(words.dropFirst().prefix(1))
            case "options": options += words.dropFirst()
            default: break
            }
        }
    }

    /// A server at a loopback address, such as systemd-resolved's 127.0.0.53, is out of reach from another network
    /// namespace.
    package var withoutLoopbackServers: ResolverConfiguration {
        ResolverConfiguration(
            servers: servers.filter { !$0.hasPrefix("127.") && $0 != "::1" }, searches: searches, options: options)
    }

    /// The file's text.
    var text: String {
        var lines = ["# Made by nomad-driver-exec2 from the dns block of the task's network."]
        lines += servers.map { "nameserver " + $0 }
        if !searches.isEmpty { lines.append("search " + searches.joined(separator: " ")) }
        if !options.isEmpty { lines.append("options " + options.joined(separator: " ")) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What a task asks for; a list that it leaves empty is the host's, as with Nomad's own drivers.
    init(_ request: DNSRequest, host: ResolverConfiguration) throws(StartError) {
        for server in request.servers where !Self.isAddress(server) {
            throw StartError(
                .permanent, "dns server \(quoted(server)): must be an IP address, for example 10.0.0.53 or fd00::53")
        }
        for (kind, words) in [("search domain", request.searches), ("option", request.options)] {
            for word in words where !Self.isWord(word) {
                throw StartError(
                    .permanent, "dns \(kind) \(quoted(word)): must be one word, neither empty nor with spaces in it")
            }
        }
        self.init(
            servers: request.servers.isEmpty ? host.servers : request.servers,
            searches: request.searches.isEmpty ? host.searches : request.searches,
            options: request.options.isEmpty ? host.options : request.options)
    }

    /// An IPv6 address may have a zone, fe80::1%eth0.
    static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = parts.first else { return false }
        if parts.count == 2 { return isAddress(String(address), AF_INET6) && isWord(String(parts[1])) }
        return isAddress(text, AF_INET) || isAddress(text, AF_INET6)
    }

    private static func isAddress(_ text: String, _ family: Int32) -> Bool {
        var address = in6_addr()
        return withUnsafeMutableBytes(of: &address) { inet_pton(family, text, $0.baseAddress) } == 1
    }

    static func isWord(_ text: String) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F }
    }
}
