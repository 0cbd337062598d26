import CMessages
import Shared
import Testing

@testable import Commands
@testable import Exec
@testable import Messages
@testable import Planning
@testable import Supervision

@Suite struct ExecRequestTests {
    private typealias Launch = Exec2__Executor__LaunchRequest

    private static func launch(environment: [String]) throws -> MessageView<Launch> {
        var specification = LaunchSpecification(
            user: TaskUser(name: "nomad-80000", uid: 80_000, gid: 80_000, groups: [4, 5], home: "/nonexistent"))
        specification.taskID = "alloc/web/1"
        specification.programs = ["/bin/server"]
        specification.arguments = ["server", "--port", "80"]
        specification.environment = environment
        specification.workDir = .init(root: "", path: "/work")
        specification.confinement.capabilities = 1 << 10
        specification.unveil = [.init(rule: UnveilRule(modes: [.read], path: "/srv"))]
        specification.cgroup = "/sys/fs/cgroup/x"
        let directory = TaskStateDirectory(stateDirectory: "/run/state", name: "alloc+web+1")
        return try DecodedMessage<Launch>(specification.encoded(session: 7, directory: directory)).root
    }

    private static func encoded(
        _ command: [String], terminal: Bool = false, environment: [String] = ["PATH=/opt/bin:/bin", "A=b"],
        unknown: [UInt8] = []
    ) throws -> MessageView<Launch> {
        let request = ExecRequest(command: command, hasTerminal: terminal)
        return try DecodedMessage<Launch>(request.encoded(launch(environment: environment))).root
    }

    private static func programs(_ launch: MessageView<Launch>) -> [String] {
        launch.strings(.programs)
    }

    @Test func theCommandTakesTheTasksPlace() throws {
        let request = try Self.encoded(["ls", "-l"])
        #expect(Self.programs(request) == ["/opt/bin/ls", "/bin/ls"])
        #expect(request.strings(.arguments) == ["ls", "-l"])
        #expect(request.exec != nil)
    }

    @Test func allElseStaysTheTasks() throws {
        let request = try Self.encoded(["ls"])
        #expect(request.user_id == 80_000 && request.group_id == 80_000 && request.capabilities == 1 << 10)
        #expect(request.values(.groups) == [4, 5])
        #expect(request.work_dir == "/work" && request.cgroup == "/sys/fs/cgroup/x")
        #expect(request.strings(.environment) == ["PATH=/opt/bin:/bin", "A=b"])
        #expect(request.messages(.unveil).map(\.path) == ["/srv"])
    }

    /// An Executor that takes the request for a task's must find nowhere to begin.
    @Test func thereIsNoStateDirectory() throws {
        #expect(try Self.encoded(["ls"]).task_state_dir.isEmpty)
    }

    @Test(arguments: ["/bin/ls", "./ls", "bin/ls"])
    func aPathIsTakenAsItIs(_ path: String) throws {
        #expect(Self.programs(try Self.encoded([path])) == [path])
    }

    @Test func withoutPathTheDefaultIsSearched() throws {
        let found = Self.programs(try Self.encoded(["ls"], environment: ["A=b"]))
        #expect(found == LaunchPlanning.defaultPath.split(separator: ":").map { $0 + "/ls" })
    }

    @Test func aTerminalBringsItsNameAndItsPaths() throws {
        let request = try Self.encoded(["vi"], terminal: true)
        #expect(request.exec?.isSet(\.terminal) == true)
        #expect(request.strings(.environment).last == "TERM=xterm")
        let unveil = request.messages(.unveil)
        #expect(unveil.map(\.path) == ["/srv", "/dev/tty", "/proc/self/fd/0"])
        #expect(unveil.map(\.modes) == [1, 3, 3])
        #expect(unveil.map { $0.isSet(\.after_mounts) } == [false, true, true])
        let named = try Self.encoded(["vi"], terminal: true, environment: ["TERM=vt100"])
        #expect(named.strings(.environment) == ["TERM=vt100"])
    }

    /// A field that only a newer release knows, such as one more restriction, is still there for its own
    /// attendant.
    @Test func whatOnlyOtherReleasesKnowIsKept() throws {
        let directory = TaskStateDirectory(stateDirectory: "/run/state", name: "x")
        let user = TaskUser(name: "root", uid: 0, gid: 0, groups: [], home: "/root")
        // Field 500, a varint: 500 << 3 = 4000.
        let field: [UInt8] = [0xA0, 0x1F, 0x2A]
        let bytes = LaunchSpecification(user: user).encoded(session: 1, directory: directory) + field
        let request = ExecRequest(command: ["ls"], hasTerminal: false)
        let packed = request.encoded(try DecodedMessage<Launch>(bytes).root)
        #expect(packed.indices.contains { packed[$0...].starts(with: field) })
    }
}

@Suite struct ProcessPlaceTests {
    private static func status(parent: Int32, pids: String) -> String {
        "Name:\tsleep\nUmask:\t0022\nPid:\t4711\nPPid:\t\(parent)\nNSpid:\t\(pids)\nThreads:\t1\n"
    }

    @Test func theFirstBelowTheExecutorIsTheTask() {
        #expect(ProcessPlace(status: Self.status(parent: 99, pids: "4711\t2"))?.isMainProcess(of: 99) == true)
        // The Driver in a container sees one more.
        #expect(ProcessPlace(status: Self.status(parent: 99, pids: "4711\t17\t2"))?.isMainProcess(of: 99) == true)
    }

    @Test(arguments: ["4711\t3", "4711", "2", "4711\t2\t7"])
    func othersAreNot(_ pids: String) {
        #expect(ProcessPlace(status: Self.status(parent: 99, pids: pids))?.isMainProcess(of: 99) == false)
    }

    @Test func anotherParentIsNot() {
        #expect(ProcessPlace(status: Self.status(parent: 1, pids: "4711\t2"))?.isMainProcess(of: 99) == false)
    }

    @Test func whatIsNoStatusIsNone() {
        #expect(ProcessPlace(status: "") == nil)
        #expect(ProcessPlace(status: "PPid:\tx\nNSpid:\t1\t2\n") == nil)
    }
}
