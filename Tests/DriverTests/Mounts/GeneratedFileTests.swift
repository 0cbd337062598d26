import Shared
import Testing

@testable import Planning

@Suite struct GeneratedFileTests {
    private static let host = ResolverConfiguration(
        servers: ["192.0.2.1"], searches: ["host.example"], options: ["rotate"])

    private func text(_ dns: DNSRequest) throws(StartError) -> String? {
        try GeneratedFile.all(dns: dns, hosts: nil, host: Self.host).first?.text
    }

    @Test func everythingIsInResolvConf() throws {
        let dns = DNSRequest(
            servers: ["10.0.0.1", "fd00::1"], searches: ["a.example", "b.example"], options: ["ndots:2", "edns0"])
        #expect(
            try text(dns) == """
                # Made by nomad-driver-exec2 from the dns block of the task's network.
                nameserver 10.0.0.1
                nameserver fd00::1
                search a.example b.example
                options ndots:2 edns0

                """)
    }

    @Test func whatIsLeftOpenIsTheHosts() throws {
        let lines = try #require(try text(DNSRequest(searches: ["job.example"]))).split(separator: "\n")
        #expect(lines.dropFirst() == ["nameserver 192.0.2.1", "search job.example", "options rotate"])
    }

    @Test func nothingToSayIsNoFile() throws {
        #expect(try GeneratedFile.all(dns: nil, hosts: nil, host: Self.host).isEmpty)
        #expect(try GeneratedFile.all(dns: DNSRequest(), hosts: HostsRequest(), host: Self.host).isEmpty)
        let halves = [HostsRequest(hostname: "web"), HostsRequest(address: "10.0.0.1")]
        for half in halves { #expect(try GeneratedFile.all(dns: nil, hosts: half, host: Self.host).isEmpty) }
    }

    @Test func hostsHasTheTasksLineAndLocalhost() throws {
        let hosts = HostsRequest(hostname: "web-1", address: "172.26.64.2")
        let file = try #require(try GeneratedFile.all(dns: nil, hosts: hosts, host: Self.host).first)
        #expect(file.path == "/etc/hosts")
        let lines = file.text.split(separator: "\n")
        #expect(lines.contains("127.0.0.1 localhost") && lines.contains("172.26.64.2 web-1"))
        #expect(file.text.hasSuffix("\n"))
    }

    @Test(arguments: ["dns.example", "", "10.0.0.1 ", "10.0.0.1%eth0", "fe80::1%", "10.0.0.1\nx", "10.0.0.300"])
    func serversAreAddresses(server: String) {
        #expect(throws: StartError.self) { try text(DNSRequest(servers: [server])) }
    }

    @Test(arguments: ["", "a b", "a\nnameserver 6.6.6.6", "a\tb", "\u{7F}"])
    func searchesAndOptionsAreWords(word: String) {
        #expect(throws: StartError.self) { try text(DNSRequest(searches: [word])) }
        #expect(throws: StartError.self) { try text(DNSRequest(options: [word])) }
    }

    @Test(arguments: [("web 1", "10.0.0.1"), ("web#1", "10.0.0.1"), ("web", "example"), ("a\nb", "10.0.0.1")])
    func hostsAreAddressesAndWords(name: String, address: String) {
        #expect(throws: StartError.self) {
            try GeneratedFile.all(dns: nil, hosts: HostsRequest(hostname: name, address: address), host: Self.host)
        }
    }

    // MARK: The host's own file

    @Test func aResolvConfIsReadAsTheCLibraryDoes() {
        let found = ResolverConfiguration(
            parsing: """
                # comment
                ; comment
                domain old.example
                nameserver\t10.0.0.1 # first
                 nameserver fd00::1
                nameserver
                search a.example  b.example
                options ndots:2
                options rotate
                sortlist 10.0.0.0
                """)
        #expect(
            found
                == ResolverConfiguration(
                    servers: ["10.0.0.1", "fd00::1"], searches: ["a.example", "b.example"],
                    options: ["ndots:2", "rotate"]))
        #expect(ResolverConfiguration(parsing: "search a b\ndomain c d").searches == ["c"])
        #expect(ResolverConfiguration(parsing: "") == ResolverConfiguration())
        #expect(
            ResolverConfiguration(parsing: "nameserver 1.1.1.1\r\nsearch a\u{A0}b\tc\r\n")
                == ResolverConfiguration(servers: ["1.1.1.1"], searches: ["a\u{A0}b", "c"]))
    }

    @Test func loopbackServersAreOutOfReachFromAnotherNamespace() {
        let found = ResolverConfiguration(servers: ["127.0.0.53", "::1", "10.0.0.1"], searches: ["a"], options: ["b"])
        #expect(
            found.withoutLoopbackServers
                == ResolverConfiguration(servers: ["10.0.0.1"], searches: ["a"], options: ["b"]))
    }
}
