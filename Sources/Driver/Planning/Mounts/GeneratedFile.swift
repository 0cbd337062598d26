import Shared

/// A file of the task's own, in the place of the host's.
struct GeneratedFile: Equatable, Sendable {
    /// Of the host's file.
    let path: String
    let text: String

    /// /etc/resolv.conf and /etc/hosts, each only where the task has something to say there.
    /// - Parameter host: How the host resolves names; asked for only where the task has a dns block.
    static func all(
        dns: DNSRequest?, hosts: HostsRequest?, host: ResolverConfiguration
    ) throws(StartError) -> [GeneratedFile] {
        var files: [GeneratedFile] = []
        if let dns, !dns.isEmpty {
            files.append(
                GeneratedFile(path: "/etc/resolv.conf", text: try ResolverConfiguration(dns, host: host).text))
        }
        if let hosts, !hosts.hostname.isEmpty, !hosts.address.isEmpty {
            files.append(GeneratedFile(path: "/etc/hosts", text: try text(of: hosts)))
        }
        return files
    }

    private static func text(of hosts: HostsRequest) throws(StartError) -> String {
        guard ResolverConfiguration.isAddress(hosts.address) else {
            throw StartError(
                .permanent,
                "network_isolation_spec.hostsConfig has the address \(quoted(hosts.address)): must be an IP address")
        }
        guard ResolverConfiguration.isWord(hosts.hostname), !hosts.hostname.utf8.contains(UInt8(ascii: "#")) else {
            throw StartError(
                .permanent,
                "network_isolation_spec.hostsConfig has the hostname \(quoted(hosts.hostname)): must be one word")
        }
        return """
            # Made by nomad-driver-exec2 from the task's network.
            127.0.0.1 localhost
            ::1 localhost ip6-localhost ip6-loopback
            ff02::1 ip6-allnodes
            ff02::2 ip6-allrouters
            \(hosts.address) \(hosts.hostname)

            """
    }
}
