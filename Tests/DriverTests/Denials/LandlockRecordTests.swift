import Testing

@testable import Planning

@Suite struct LandlockRecordTests {
    private static func access(_ text: String) -> LandlockDenial? {
        guard
            case .access(0x1191_EF44B, let denial)? = LandlockRecord(
                .access, text: Array("audit(1796051083.653:25): domain=1191ef44b \(text)".utf8))
        else { return nil }
        return denial
    }

    private static func path(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// As Linux 6.18 and 7.2 write them.
    static let records: [(String, String, LandlockDenial)] = [
        (
            "file", #"blockers=fs.read_file path="/srv/file" dev="vda" ino=975941"#,
            LandlockDenial(blockers: ["fs.read_file"], path: path("/srv/file"))
        ),
        (
            "a blank", "blockers=fs.read_file path=2F7372762F7720782F66 dev=\"vda\" ino=975941",
            LandlockDenial(blockers: ["fs.read_file"], path: path("/srv/w x/f"))
        ),
        (
            "two", "blockers=fs.remove_file,fs.make_reg path=\"/srv\" dev=\"vda\" ino=2",
            LandlockDenial(blockers: ["fs.remove_file", "fs.make_reg"], path: path("/srv"))
        ),
        (
            "connect", "blockers=net.connect_tcp daddr=127.0.0.1 dest=80",
            LandlockDenial(blockers: ["net.connect_tcp"], port: 80)
        ),
        ("bind", "blockers=net.bind_tcp saddr=127.0.0.1 src=81", LandlockDenial(blockers: ["net.bind_tcp"], port: 81)),
        (
            "abstract", "blockers=scope.abstract_unix_socket path=00657865633261627301",
            LandlockDenial(blockers: ["scope.abstract_unix_socket"], path: [0] + path("exec2abs") + [1])
        ),
        ("trace", #"blockers=ptrace opid=1 ocomm="systemd""#, LandlockDenial(blockers: ["ptrace"])),
    ]

    @Test(arguments: records)
    func accessesAreRead(name: String, text: String, denial: LandlockDenial) {
        #expect(Self.access(text) == denial)
    }

    /// The kernel's own fields stand before what a task chooses, and a quote or a blank makes that hexadecimal.
    @Test func aPathIsNoField() {
        #expect(Self.access(#"blockers=fs.read_dir path="/a,blockers=fs.execute" ino=1"#)?.blockers == ["fs.read_dir"])
        #expect(Self.access("blockers=fs.read_dir path=\"/x\" path=\"/y\"")?.path == Self.path("/x"))
    }

    @Test(arguments: [
        "", "blockers=", "blockers=,", "blockers=fs.read_file,", "path=\"/x\"", "blockers=FS", "blockers=a/b",
        "blockers=\"fs.read_file\"",
    ])
    func whatIsNoAccess(text: String) { #expect(Self.access(text) == nil) }

    @Test(arguments: ["path=", "path=\"", "path=\"x", "path=2F7", "path=ZZ", "path=/srv"])
    func whatIsNoPath(text: String) {
        let denial = Self.access("blockers=fs.read_file " + text)
        #expect(denial?.path ?? [] == [] && denial?.remedy == nil)
    }

    @Test func aPortIsANumber() {
        for text in ["dest=65536", "dest=-1", "dest=", "dest=x", "dest=+"] {
            #expect(Self.access("blockers=net.connect_tcp " + text)?.port == nil, "\(text)")
        }
    }

    @Test func domainsNameTheirCreator() {
        func record(_ text: String) -> LandlockRecord? { LandlockRecord(.domain, text: Array(text.utf8)) }
        #expect(
            record(
                #"audit(1.2:3): domain=1f status=allocated mode=enforcing pid=7732 uid=92457 exe="/x" comm="exec2-executor""#
            )
                == .domain(0x1F, creator: 7732, name: Self.path("exec2-executor")))
        #expect(
            record("audit(1.2:3): domain=1f status=allocated pid=1 comm=6120\"")
                == .domain(0x1F, creator: 1, name: []))
        #expect(record("audit(1.2:3): domain=1f status=deallocated denials=2") == .ended(domain: 0x1F))
        for text in [
            "", "domain=1f", "domain=1f status=allocated", "domain=1f status=allocated pid=0",
            "domain=1f status=allocated pid=-5", "domain=1f status=other pid=5", "status=deallocated",
            "domain= status=deallocated", "domain=+1 status=deallocated", "domain=1g status=deallocated",
            "domain=1ffffffffffffffff status=deallocated",
        ] {
            #expect(record(text) == nil, "\(text)")
        }
    }
}
