import Testing

@testable import Planning

@Suite struct LandlockDenialTests {
    private static func file(_ blockers: String..., path: String = "/srv/x") -> LandlockDenial {
        LandlockDenial(blockers: blockers, path: Array(path.utf8))
    }

    @Test(
        arguments: [
            (["fs.execute"], "rx"), (["fs.read_file"], "r"), (["fs.read_dir"], "r"), (["fs.write_file"], "w"),
            (["fs.truncate"], "w"), (["fs.ioctl_dev"], "w"), (["fs.resolve_unix"], "w"), (["fs.make_reg"], "c"),
            (["fs.remove_file", "fs.make_reg"], "c"), (["fs.refer"], "c"), (["fs.read_file", "fs.write_file"], "rw"),
        ] as [([String], String)])
    func theRuleHasTheModesThatWereLacking(blockers: [String], modes: String) {
        let denial = LandlockDenial(blockers: blockers, path: Array("/srv/x".utf8))
        #expect(denial.remedy == "the unveil rule \"\(modes):/srv/x\"")
        #expect(denial.message.hasSuffix("; the unveil rule \"\(modes):/srv/x\" allows it"))
        #expect(denial.message.contains("(Landlock: \(blockers.joined(separator: ", ")))"))
    }

    /// A device node, a mount, another process, or a right that only a later kernel has.
    @Test(arguments: [
        ["fs.make_char"], ["fs.make_block", "fs.make_reg"], ["fs.change_topology"], ["ptrace"], ["fs.later"],
    ])
    func someThingsNoRuleAllows(blockers: [String]) {
        let denial = LandlockDenial(blockers: blockers, path: Array("/srv/x".utf8))
        #expect(denial.remedy == nil && denial.message.hasSuffix("; no rule allows it"))
        #expect(denial.key.contains("/srv/x"))
    }

    @Test func portsAreOfTheirOptions() {
        for (blocker, option) in [
            ("net.bind_tcp", "tcp_bind"), ("net.connect_tcp", "tcp_connect"), ("net.bind_udp", "udp_bind"),
            ("net.connect_send_udp", "udp_connect"),
        ] {
            let denial = LandlockDenial(blockers: [blocker], port: 53)
            #expect(denial.remedy == "the port in the task option \(option)")
            #expect(denial.message.contains("port 53 (Landlock: \(blocker))"))
            #expect(denial.key != LandlockDenial(blockers: [blocker], port: 54).key)
        }
        #expect(LandlockDenial(blockers: ["net.later"], port: 53).remedy == nil)
    }

    /// A task chooses the names of its files: what it chooses stays between quotes, on one line.
    @Test func whatATaskChoosesIsQuoted() {
        let denial = LandlockDenial(
            blockers: ["fs.read_file"], path: Array("/a\n\" allows it; run".utf8) + [0x1B, 0xFF])
        #expect(
            denial.message == #"the sandbox denied reading "/a\n\" allows it; run\u001b�" (Landlock: fs.read_file); "#
                + #"the unveil rule "r:/a\n\" allows it; run\u001b�" allows it"#)
        let name = LandlockDenial(blockers: ["scope.abstract_unix_socket"], path: [0] + Array("a\0b".utf8))
        #expect(name.message.contains(#"an abstract unix socket, "@a\u0000b""#))
        #expect(name.remedy == "the plugin option abstract_sockets = true")
    }

    // MARK: Which are told

    @Test func eachRuleIsToldOnce() {
        var ledger = DenialLedger()
        #expect(ledger.message(Self.file("fs.read_file"), of: "a", at: 0) != nil)
        #expect(ledger.message(Self.file("fs.read_dir"), of: "a", at: 0) == nil)
        #expect(ledger.message(Self.file("fs.write_file"), of: "a", at: 0) != nil)
        #expect(ledger.message(Self.file("fs.read_file"), of: "b", at: 0) != nil)
    }

    @Test func theFirstOnesOfATaskAreTold() {
        var ledger = DenialLedger()
        var told: [String] = []
        for number in 0..<100 {
            let now = UInt64(number) * 1_000_000_000
            if let text = ledger.message(Self.file("fs.read_file", path: "/\(number)"), of: "a", at: now) {
                told.append(text)
            }
        }
        #expect(told.count == DenialLedger.maximumOfTask + 1 && told.last == DenialLedger.last)
        #expect(told.dropLast().allSatisfy { $0 != DenialLedger.last })
        ledger.keep { $0 != "a" }
        #expect(ledger.message(Self.file("fs.read_file"), of: "a", at: 0) != nil)
    }

    /// What comes too fast is told when it comes again.
    @Test func notTooManyAtOnce() {
        var ledger = DenialLedger()
        let denial = Self.file("fs.read_file")
        let told = (0..<1000).filter { ledger.message(denial, of: "\($0)", at: 5) != nil }
        #expect(told.count == 32)
        #expect(ledger.message(denial, of: "999", at: 6) == nil)
        #expect(ledger.message(denial, of: "999", at: 11_000_000_000) != nil)
    }
}
