import Shared
import Testing

@testable import Tracing

@Suite struct SuggestionTests {
    private func rule(_ text: String, directory: Bool = false) -> Finding {
        let parts = text.split(separator: ":", maxSplits: 1)
        var modes: AccessModes = []
        for letter in parts[0].unicodeScalars { modes.formUnion(AccessModes(letter: letter) ?? []) }
        return Finding(.rule, String(parts[1]), modes: modes, isDirectory: directory, "")
    }

    private func suggested(_ rules: String...) -> [String] {
        // A slash at the end stands for a directory.
        Suggestion(
            rules.map { text in
                text.hasSuffix("/") ? rule(String(text.dropLast()), directory: true) : rule(text)
            }
        ).rules.map(\.text)
    }

    @Test func oneRuleForEachPath() {
        #expect(suggested() == [])
        #expect(suggested("r:/srv/a/x", "w:/srv/a/x", "r:/srv/a/x") == ["rw:/srv/a/x"])
        #expect(suggested("r:/etc/gitconfig") == ["r:/etc/gitconfig"])
    }

    @Test func whatAHigherDirectoryIncludes() {
        #expect(suggested("r:/srv/a/", "r:/srv/a/b/x", "w:/srv/a/b/y") == ["r:/srv/a", "w:/srv/a/b/y"])
        #expect(suggested("rwc:/srv/a/", "r:/srv/ab") == ["rwc:/srv/a", "r:/srv/ab"])
    }

    @Test func severalOfOneDirectory() {
        #expect(suggested("r:/srv/a/x", "r:/srv/a/y", "rw:/srv/a/z") == ["r:/srv/a", "rw:/srv/a/z"])
        #expect(suggested("r:/srv/a/b/x", "r:/srv/a/b/y", "r:/srv/a/c/z", "r:/srv/a/w") == ["r:/srv/a"])
        let cpus = ["r:/sys/devices/system/cpu/online", "r:/sys/devices/system/cpu/possible"]
        #expect(suggested(cpus[0], cpus[1]) == ["r:/sys/devices/system/cpu"])
    }

    @Test func neverWholeDirectoriesOfTheSystem() {
        for directory in [
            "/etc", "/home", "/home/x", "/root", "/var", "/var/lib", "/usr", "/usr/share", "/usr/local",
            "/usr/local/share",
            "/run", "/run/user", "/srv", "/opt", "/sys/kernel", "/proc/self", "/proc/sys/kernel", "/dev", "/dev/input",
            "/boot",
            "/etc/ssl", "/etc/ssh", "/mnt", "/tmp", "",
        ] {
            let both = ["w:\(directory)/a", "w:\(directory)/b"]
            #expect(suggested(both[0], both[1]) == both)
        }
    }

    /// A program that reads one file of its directory reads others next.
    @Test func theProgramsOwnDirectory() {
        #expect(suggested("r:/etc/nginx/nginx.conf") == ["r:/etc/nginx"])
        #expect(suggested("r:/etc/app/conf.d/a/b") == ["r:/etc/app"])
        #expect(suggested("r:/usr/share/git-core/templates/") == ["r:/usr/share/git-core"])
        #expect(suggested("rx:/opt/app/bin/x", "r:/opt/app/lib/y") == ["rx:/opt/app"])
        #expect(suggested("r:/usr/local/share/app/x") == ["r:/usr/local/share/app"])
        #expect(suggested("r:/etc/ssl/private/key") == ["r:/etc/ssl/private/key"])
        #expect(suggested("w:/etc/app/x") == ["w:/etc/app/x"])
        #expect(suggested("r:/var/lib/app/x") == ["r:/var/lib/app/x"])
    }

    @Test func whatIsMadeIsWrittenAndRead() {
        #expect(suggested("c:/srv/data/", "wc:/srv/logs/") == ["rwc:/srv/data", "rwc:/srv/logs"])
    }

    @Test func onlyAPersonDecides() {
        let suggestion = Suggestion([rule("r:/etc", directory: true), rule("r:/", directory: true), rule("r:/srv/x")])
        #expect(suggestion.rules.map(\.text) == ["r:/srv/x"])
        #expect(suggestion.undecided.map(\.text) == ["r:/"])
        #expect(Suggestion([rule("c:/srv", directory: true)]).rules.map(\.text) == ["rwc:/srv"])
    }

    @Test func optionsAreLists() {
        let suggestion = Suggestion([
            Finding(.option, "cap_add", value: "\"setuid\"", ""), Finding(.option, "tcp_bind", value: "80", ""),
            Finding(.option, "cap_add", value: "\"setgid\"", ""), Finding(.option, "tcp_bind", value: "80", ""),
            Finding(.pluginOption, "abstract_sockets", ""), Finding(.permissions, "/x", ""), Finding(.none, "x", ""),
        ])
        let text = suggestion.text(own: [], forRun: true)
        #expect(text.contains("\ncap_add = [\"setuid\", \"setgid\"]\n") && text.contains("\ntcp_bind = [80]\n"))
        #expect(text.contains("\nabstract_sockets = true\n") && !text.contains("unveil"))
        #expect(
            text.hasSuffix("# --cap-add setuid --cap-add setgid --tcp-bind 80 --abstract-sockets\n"))
    }

    /// Files of the task's own give away less than the host's accounts, and a dynamic user is in them.
    @Test func accounts() {
        let findings = [rule("r:/etc/passwd"), rule("r:/etc/group")]
        let own = Suggestion(findings)
        #expect(own.rules.isEmpty && own.options == ["user_files"])
        let text = own.text(own: [], forRun: true)
        #expect(text.contains("\nuser_files = true\n") && text.hasSuffix("# --user-files\n"))
        #expect(Suggestion(findings, rootWantsAccounts: true).rules.map(\.text) == ["r:/etc/group", "r:/etc/passwd"])
        #expect(suggested("rw:/etc/passwd") == ["rw:/etc/passwd"])
    }

    @Test func theText() {
        let findings = [rule("r:/etc/app/x"), rule("r:/etc", directory: true), rule("wc:/data/${x}", directory: true)]
        #expect(
            Suggestion(findings).text(own: [], forRun: true) == """
                # For the job, on a client with unveil_by_task = true:
                unveil = [
                  "rwc:/data/$${x}",  # gives writing outside of the task's directories
                  "r:/etc/app",
                  # left out: "r:/etc",  # gives the whole of /etc
                ]
                # Or for the plugin, for every task of the client:
                unveil_paths = [
                  "rwc:/data/$${x}",  # gives writing outside of the task's directories
                  "r:/etc/app",
                  # left out: "r:/etc",  # gives the whole of /etc
                ]
                # Or for run:
                # --unveil $'rwc:/data/${x}' --unveil r:/etc/app

                """)
        #expect(Suggestion([]).text(own: [], forRun: true) == "# No rule and no option is needed.\n")
        #expect(
            !Suggestion([rule("rwc:/mine/x/", directory: true)]).text(own: ["/mine"], forRun: false).contains("gives"))
    }

    /// The next task has its directory elsewhere.
    @Test func theTasksOwnDirectoryIsNamedRelativeToIt() {
        let text = Suggestion([rule("wc:/alloc/web/local", directory: true)]).text(own: ["/alloc/web"], forRun: false)
        #expect(text.contains("unveil = [\n  \"rwc:local\",\n]\n"))
        #expect(text.contains("  # the task's own, and so for its job alone: \"rwc:/alloc/web/local\",\n"))
    }

    @Test func whatIsGivenAwayIsSaid() {
        func warning(_ text: String, directory: Bool = true, own: [String] = []) -> String {
            let finding = rule(text, directory: directory)
            let rule = Suggestion.Rule(finding.modes, finding.subject, isDirectory: directory)
            return Breadth.warning(rule, own: own) ?? ""
        }
        #expect(warning("r:/").contains("the whole host"))
        #expect(warning("r:/root").contains("a whole home directory") && warning("r:/home/x").contains("a whole home"))
        #expect(
            warning("r:/home").contains("all home directories")
                && warning("r:/var/lib").contains("the whole of /var/lib"))
        #expect(warning("r:/etc/ssh").contains("keys or passwords"))
        #expect(warning("w:/run/docker.sock", directory: false).contains("everything on this host"))
        #expect(warning("rw:/mine", own: ["/mine"]) == "" && warning("w:/minefield", own: ["/mine"]) != "")
        for path in [
            "/root/x", "/etc/shadow", "/home/x/.ssh/id_rsa", "/srv/x/.aws", "/opt/nomad/tls", "/var/lib/vault/x",
            "/etc/sudoers",
        ] {
            #expect(warning("r:" + path, directory: false).contains("keys or passwords"))
        }
        #expect(warning("r:/dev/vda", directory: false).contains("a device of the host"))
        #expect(warning("r:/proc/kcore", directory: false).contains("the whole host"))
        #expect(warning("r:/srv/x") == "" && warning("w:/proc/self/comm", directory: false) == "")
    }

    @Test func noDirectoryWithKeys() {
        #expect(suggested("r:/opt/nomad/bin/x") == ["r:/opt/nomad/bin/x"])
        for directory in ["/opt/nomad", "/var/lib/vault", "/home/x/.ssh", "/srv/x/.aws"] {
            let both = ["r:\(directory)/a", "r:\(directory)/b"]
            #expect(suggested(both[0], both[1]) == both)
        }
    }

    /// A task chooses how many.
    @Test(.hanging(after: 1)) func tensOfThousands() {
        var findings: [Finding] = []
        for index in 0..<20_000 {
            let directory = "/srv/\(index % 7)/\(index / 4)"
            findings.append(rule("\(index % 2 == 0 ? "r" : "rw"):\(directory)/\(index)"))
            findings.append(Finding(.option, "tcp_connect", value: String(index), ""))
        }
        let suggestion = Suggestion(findings)
        #expect(suggestion.rules.count == 20_000 && suggestion.values == [(0..<20_000).map { String($0) }])
        let one = Suggestion((0..<20_000).map { rule("r:/srv/a/\($0 / 10)/\($0)") })
        #expect(one.rules.map(\.text) == ["r:/srv/a"])
    }

    @Test func stringsOfHCL() {
        #expect(SuggestionTests.hcl("a\u{202E}b") == #""a\u202eb""#)
        #expect(SuggestionTests.hcl("a\"b\\c\n") == #""a\"b\\c\n""#)
        #expect(SuggestionTests.hcl("${a} %{b} $ { $${") == "\"$${a} %%{b} $ { $$${\"")
        #expect(SuggestionTests.hcl("${\u{308}x") == "\"$${\u{308}x\"")
    }

    private static func hcl(_ text: String) -> String { Suggestion.hcl(text) }

    /// Of what a program has asked for, a further try gets by itself what gives nothing away.
    @Test func whatIsGivenUnasked() {
        let suggestion = Suggestion([
            rule("r:/etc/app/x"), rule("rx:/opt/tool/bin"), rule("r:/srv/private/x"),
            rule("rwc:/srv/data", directory: true),
            rule("r:/etc/shadow"), rule("r:/dev/sda"), rule("r:/own/local/x"), rule("r:/etc/passwd"),
            Finding(.option, "cap_add", value: "setuid", ""), Finding(.option, "syscalls", value: "io_uring", ""),
            Finding(.pluginOption, "abstract_sockets", ""),
        ])
        let offer = suggestion.offer(own: ["/own"]) { !$0.hasPrefix("/srv/private") }
        #expect(offer.given == ["--unveil", "r:/etc/app", "--unveil", "rx:/opt/tool", "--user-files"])
        #expect(
            offer.leftOut == [
                "--unveil", "r:/dev/sda", "--unveil", "r:/etc/shadow", "--unveil", "r:/own/local/x", "--unveil",
                "rwc:/srv/data", "--unveil", "r:/srv/private/x", "--cap-add", "setuid", "--syscalls", "io_uring",
                "--abstract-sockets",
            ])
    }
}
