import Shared
import Testing

@testable import Commands
@testable import Planning

@Suite struct RunConfinementTests {
    private func options(_ words: String...) throws -> RunOptions {
        try #require(try RunOptions(words + ["true"], directory: "/here", environment: [:]))
    }

    private func problem(_ words: String...) -> String {
        do throws(UsageError) {
            _ = try RunOptions(words + ["true"], directory: "/here", environment: [:])
            Issue.record("\(words) was accepted")
            return ""
        } catch {
            return error.text
        }
    }

    @Test func everyOptionIsRead() throws {
        let options = try options(
            "--cap-add", "CAP_CHOWN", "--cap-add=kill", "--cap-drop", "all", "--pids-limit", "9", "--ulimit",
            "nofile=1:2", "--ulimit", "core=0", "--oom-group", "--tcp-bind", "80,0", "--tcp-bind", "81",
            "--tcp-connect",
            "none", "--syscalls", "io_uring", "--abstract-sockets", "--no-seccomp", "--udp-bind", "none",
            "--udp-connect",
            "53", "--pathname-sockets", "--log-denials")
        let confinement = options.confinement
        #expect(confinement.capAdd.named == [.chown, .kill])
        #expect(confinement.capDrop == .all)
        #expect(confinement.pidsLimit == 9)
        #expect(confinement.ulimits.map(\.kind) == [.nofile, .core])
        #expect(confinement.oomGroup)
        #expect(confinement.tcpBind == [80, 0, 81])
        #expect(confinement.tcpConnect == [])
        #expect(confinement.udpBind == [] && confinement.udpConnect == [53])
        #expect(options.policy.pathnameSockets && options.policy.logDenials)
        #expect(confinement.syscalls == [.ioUring])
        #expect(!options.policy.seccomp && options.policy.abstractSockets)
    }

    @Test func withoutOptionsARunIsConfinedAsATask() throws {
        let options = try options()
        #expect(options.confinement == ConfinementOptions())
        #expect(options.policy.seccomp && !options.policy.abstractSockets)
        #expect(options.policy.allowCaps.hasAll)
        #expect(options.policy.allowSyscalls == Set(SyscallGroup.allCases))
    }

    @Test func theLastLimitOfAKindCounts() throws {
        #expect(
            try options("--ulimit", "core=1", "--ulimit", "core=2").confinement.ulimits == [
                ResourceLimit(.core, soft: 2, hard: 2)
            ])
    }

    @Test func wrongValuesAreNamed() {
        #expect(problem("--cap-add", "fly").hasPrefix("--cap-add \"fly\": must be the name of a Linux capability"))
        #expect(problem("--pids-limit", "-1").hasPrefix("--pids-limit is \"-1\": must be a whole number"))
        #expect(problem("--ulimit", "nofile").hasPrefix("--ulimit \"nofile\": must be NAME=SOFT:HARD"))
        #expect(problem("--ulimit", "nofile=2:1").contains("soft limit must not be above"))
        #expect(problem("--tcp-bind", "80,").hasPrefix("--tcp-bind is \"80,\": must be ports from 0 to 65535"))
        #expect(problem("--tcp-connect", "65536").contains("\"65536\""))
        #expect(problem("--syscalls", "all").hasPrefix("--syscalls \"all\": must be one of accounting"))
    }

    @Test func whatTheHostCannotEnforceIsSaidAndLeftOut() throws {
        let options = try options("--pids-limit", "9", "--oom-group")
        #expect(Set(RunLimits.controllers(for: options)) == ["pids", "memory"])
        let without = RunLimits(options, obstacles: ["pids": "why", "memory": "why"], megahertzPerCore: 1)
        #expect(without.notices == ["--oom-group has no effect: why", "--pids-limit 9 is not enforced: why"])
        #expect(without.confinement.pidsLimit == 0 && !without.confinement.oomGroup)
        let with = RunLimits(options, obstacles: [:], megahertzPerCore: 1)
        #expect(with.notices.isEmpty)
        #expect(with.confinement == options.confinement)
    }
}
