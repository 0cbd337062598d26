import CLinux
import Glibc
import Shared
import Testing

@testable import Planning
@testable import Tracing

@Suite struct PathDecisionTests {
    private static let root = TracedProcess(pid: 1, name: "x", uid: 0, capabilities: .max)
    private static let user = TracedProcess(pid: 1, name: "x", uid: 80000)
    private static let hidden: PathFacts = {
        var facts = PathFacts()
        facts.rule = "/etc/app/conf"
        facts.directoryRule = "/etc/app"
        facts.object = FileFacts(mode: 0o644)
        facts.directory = FileFacts(isDirectory: true, mode: 0o755)
        facts.endsAtPlaceholder = true
        return facts
    }()

    private func title(
        _ access: RequestedAccess, _ errno: Int32, _ facts: PathFacts, _ process: TracedProcess = user
    ) -> String? {
        PathDecision.finding(access, Errno(rawValue: errno), facts, process)?.title
    }

    @Test func whatIsNotUnveiled() {
        #expect(title(RequestedAccess(.read), ENOENT, Self.hidden) == "r:/etc/app/conf")
        #expect(title(RequestedAccess(.read), ENOTDIR, Self.hidden) == "r:/etc/app/conf")
        #expect(
            title(RequestedAccess([.read, .execute], permission: .read), EACCES, Self.hidden, Self.root)
                == "rx:/etc/app/conf")
        #expect(title(RequestedAccess(.read), EINVAL, Self.hidden) == nil)
    }

    @Test func whatTheHostLacksToo() {
        var facts = Self.hidden
        facts.object = nil
        #expect(title(RequestedAccess(.read), ENOENT, facts) == nil)
        // What is to be made there needs the directory.
        #expect(title(RequestedAccess(.write, place: .objectOrEntry), ENOENT, facts, Self.root) == "wc:/etc/app")
        #expect(title(RequestedAccess(.create, place: .entry), ENOENT, facts, Self.root) == "c:/etc/app")
        facts.directory = nil
        #expect(title(RequestedAccess(.create, place: .entry), ENOENT, facts, Self.root) == nil)
    }

    /// A file of the task's own that does not exist, in a directory whose namesake on the host has it.
    @Test func whatTheTasksOwnDirectoryLacks() {
        var facts = Self.hidden
        facts.endsAtPlaceholder = false
        #expect(
            title(RequestedAccess(.read), ENOENT, facts) == nil && title(RequestedAccess(.read), EACCES, facts) == nil)
    }

    @Test func aRuleThatLacksAMode() {
        var facts = Self.hidden
        facts.isObjectVisible = true
        facts.isDirectoryVisible = true
        facts.endsAtPlaceholder = false
        #expect(title(RequestedAccess(.write), EROFS, facts, Self.root) == "w:/etc/app/conf")
        #expect(title(RequestedAccess(.execute, permission: []), EACCES, facts) == "x:/etc/app/conf")
        #expect(title(RequestedAccess(.create, place: .entry), EACCES, facts, Self.root) == "c:/etc/app")
        // It is there: whatever is missing is another thing.
        #expect(title(RequestedAccess(.read), ENOENT, facts) == nil)
    }

    @Test func filePermissions() {
        #expect(title(RequestedAccess(.write), EROFS, Self.hidden) == "file permissions of /etc/app/conf")
        #expect(title(RequestedAccess(.create, place: .entry), ENOENT, Self.hidden) == "file permissions of /etc/app")
        var facts = Self.hidden
        facts.isPassable = false
        #expect(title(RequestedAccess(.read), ENOENT, facts) == "file permissions of /etc/app/conf")
        // To look at a file takes no permission of it.
        facts.isPassable = true
        facts.object = FileFacts(mode: 0o600)
        #expect(title(RequestedAccess(.read, permission: []), ENOENT, facts) == "r:/etc/app/conf")
    }

    @Test func theTasksOwnProc() {
        var facts = PathFacts()
        facts.isOfProc = true
        facts.rule = "/proc/self/comm"
        #expect(title(RequestedAccess(.write), EROFS, facts) == nil)
        #expect(
            title(RequestedAccess(.write), EACCES, facts) == nil && title(RequestedAccess(.read), ENOENT, facts) == nil)
        facts.object = FileFacts(mode: 0o644, owner: 80000)
        #expect(title(RequestedAccess(.write), EROFS, facts) == "w:/proc/self/comm")
        #expect(title(RequestedAccess(.write), EACCES, facts) == "w:/proc/self/comm")
        facts.object = FileFacts(mode: 0o644, owner: 0)
        #expect(title(RequestedAccess(.write), EACCES, facts) == nil)
    }

    @Test func theLineSaysWhoAndWhat() throws {
        let process = TracedProcess(pid: 12, name: "a\u{1B}b")
        let finding = try #require(PathDecision.finding(RequestedAccess(.read), .noSuchFile, Self.hidden, process))
        #expect(
            finding.line(process, call: "openat")
                == "denied  r:/etc/app/conf                           \"a\\u001bb\"[12] openat: not unveiled (ENOENT)")
        #expect(finding.requested(as: "/x\n").line(process, call: "open").hasSuffix("; asked for \"/x\\n\""))
    }
}

@Suite struct CallDecisionTests {
    private func attempt(
        _ number: UInt64, _ arguments: [UInt64] = [], _ error: Int32, uid: UInt32 = 80000, capabilities: UInt64 = 0,
        address: SocketAddress? = nil, type: Int32 = -1
    ) -> Attempt {
        Attempt(
            call: CallTable(of: .amd64)[number], number: number,
            arguments: arguments + [UInt64](repeating: 0, count: 6 - arguments.count), error: Errno(rawValue: error),
            process: TracedProcess(pid: 1, uid: uid, capabilities: capabilities), address: address, socketType: type)
    }

    @Test func ports() {
        let stream = Int32(SOCK_STREAM.rawValue)
        let datagram = Int32(SOCK_DGRAM.rawValue)
        func title(_ number: UInt64, _ port: UInt16, _ type: Int32, _ capabilities: UInt64 = 0) -> String? {
            let attempt = attempt(number, [], EACCES, capabilities: capabilities, address: .port(port), type: type)
            return CallDecision.finding(attempt, filter: [])?.title
        }
        #expect(title(42, 443, stream) == "tcp_connect = [443]" && title(42, 53, datagram) == "udp_connect = [53]")
        #expect(title(49, 8080, stream) == "tcp_bind = [8080]" && title(49, 5353, datagram) == "udp_bind = [5353]")
        #expect(title(44, 53, datagram) == "udp_connect = [53]")
        #expect(title(49, 80, stream) == "cap_add = [\"net_bind_service\"]")
        #expect(title(49, 80, stream, 1 << 10) == "tcp_bind = [80]")
        #expect(title(42, 443, -1) == nil)
        let refused = attempt(42, [], ECONNREFUSED, address: .port(1), type: stream)
        #expect(CallDecision.finding(refused, filter: []) == nil)
    }

    @Test func capabilities() {
        func title(_ number: UInt64, _ error: Int32 = EPERM, _ capabilities: UInt64 = 0, uid: UInt32 = 0) -> String? {
            CallDecision.finding(attempt(number, [], error, uid: uid, capabilities: capabilities), filter: [])?.title
        }
        #expect(title(105) == "cap_add = [\"setuid\"]" && title(116) == "cap_add = [\"setgid\"]")
        #expect(title(161) == "cap_add = [\"sys_chroot\"]" && title(141, EACCES) == "cap_add = [\"sys_nice\"]")
        #expect(title(41) == "cap_add = [\"net_raw\"]" && title(92) == "cap_add = [\"chown\"]")
        #expect(title(90) == "cap_add = [\"fowner\"]" && title(90, uid: 5) == nil)
        #expect(title(105, EPERM, 1 << 7) == nil && title(105, EINVAL) == nil)
        #expect(title(101) == "ptrace" && title(302) == "resource limit" && title(302, EPERM, 1 << 24) == nil)
    }

    /// On the architecture that this test was built for, as the filter is.
    @Test func closedCalls() throws {
        let calls = TaskSyscalls(
            isFiltered: true, opened: [], capabilities: 0, restrictsTCPBind: false, restrictsTCPConnect: true)
        let filter = try #require(calls.filter).bytes
        func answer(_ number: UInt32?, _ arguments: UInt64...) throws -> Int32? {
            let all = arguments + [UInt64](repeating: 0, count: 6 - arguments.count)
            return FilterAnswer.error(of: filter, to: UInt64(try #require(number)), all)
        }
        func number(_ call: SyscallNumber) -> UInt32? { call.number(on: .native) }
        #expect(try answer(number(.unshare), 0x1000_0000) == EPERM)
        #expect(try answer(number(.unshare), 0x400) == nil)
        #expect(try answer(number(.socket), 38, 5) == EAFNOSUPPORT && answer(number(.socket), 2, 1) == nil)
        #expect(try answer(number(.socket), 2, 1, 262) == EPROTONOSUPPORT)
        #expect(try answer(number(.sendto), 3, 0, 0, 0x2000_0000) == EOPNOTSUPP)
        #expect(try answer(425) == ENOSYS && answer(480) == ENOSYS && answer(0) == nil)
        #expect(FilterAnswer.error(of: [], to: 0, []) == nil && FilterAnswer.error(of: [6, 0, 0], to: 0, []) == nil)

        func finding(_ number: UInt32?, _ error: Int32, _ arguments: UInt64...) throws -> String? {
            let all = arguments + [UInt64](repeating: 0, count: 6 - arguments.count)
            let attempt = Attempt(
                call: nil, number: UInt64(try #require(number)), arguments: all, error: Errno(rawValue: error),
                process: TracedProcess(pid: 1))
            return CallDecision.finding(attempt, filter: filter)?.title
        }
        #expect(try finding(425, ENOSYS) == "syscalls = [\"io_uring\"]")
        #expect(try finding(480, ENOSYS) == "syscalls = [\"newer\"]")
        #expect(try finding(number(.socket), EAFNOSUPPORT, 40) == "syscalls = [\"vsock\"]")
        #expect(try finding(number(.socket), EAFNOSUPPORT, 38) == "syscalls = [\"sockets\"]")
        // Another error than the filter's is the kernel's own; and what would lead past the rules for ports has no
        // group.
        #expect(try finding(425, EPERM) == nil)
        #expect(try finding(number(.socket), EPROTONOSUPPORT, 2, 1, 262)?.hasPrefix("call ") == true)
    }
}
