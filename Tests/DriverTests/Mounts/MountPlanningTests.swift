import Shared
import Testing

@testable import HCLog
@testable import Planning

@Suite struct MountPlanningTests {
    private static let alloc = "5d8f1c2a"
    private static let task = "/mnt/5d8f1c2a-web"
    private static let directories = TaskDirectories(
        environment: ["NOMAD_TASK_DIR": task + "/local"], allocDir: "/alloc/" + alloc, allocID: alloc, taskName: "web")

    private func planning(_ rules: [UnveilRule] = [], _ directories: TaskDirectories = directories) -> MountPlanning {
        MountPlanning(directories: directories, allocDir: "/alloc/" + Self.alloc, namedRules: rules)
    }

    private func plan(
        _ volumes: [VolumeRequest], _ devices: [DeviceRequest] = [], _ rules: [UnveilRule] = []
    ) throws(StartError) -> [TaskMount] {
        try planning(rules).mounts(volumes: volumes, devices: devices)
    }

    private func refusal(_ volumes: [VolumeRequest], _ devices: [DeviceRequest] = []) -> String {
        do throws(StartError) {
            _ = try plan(volumes, devices)
            Issue.record("the request was accepted")
            return ""
        } catch {
            #expect(error.kind == .permanent)
            return error.text
        }
    }

    private func volume(_ destination: String, _ source: String = "/srv/data") -> VolumeRequest {
        VolumeRequest(taskPath: destination, hostPath: source)
    }

    // MARK: Destinations

    @Test(arguments: [
        ("local/data", "/mnt", "5d8f1c2a-web/local/data"), ("data", "/mnt", "5d8f1c2a-web/data"),
        ("./local//data/", "/mnt", "5d8f1c2a-web/local/data"),
        (task + "/secrets/x", "/mnt", "5d8f1c2a-web/secrets/x"),
        (task + "/alloc/data/x", "/mnt", "5d8f1c2a-web/alloc/data/x"),
    ])
    func inTheTasksDirectoryDestinationsAreMade(text: String, root: String, inside: String) throws {
        let found = try #require(try plan([volume(text)]).first).destination
        #expect(found.root == root && found.inside == inside && found.isMade)
        #expect(found.path == root + "/" + inside)
    }

    @Test(arguments: ["/data", "//data/.", "/data/"])
    func elsewhereNothingIsMadeAsTheTasksUser(text: String) throws {
        let found = try #require(try plan([volume(text)]).first).destination
        #expect(found.root == "/" && found.inside == "data" && !found.isMade && found.path == "/data")
    }

    @Test func aNameThatOnlyBeginsLikeTheTasksDirectoryIsElsewhere() throws {
        let found = try #require(try plan([volume(Self.task + "2/local/data")]).first).destination
        #expect(found.root == "/" && !found.isMade)
    }

    @Test func withoutTheClientsMountsTheAllocsDirectoriesCount() throws {
        let directories = TaskDirectories(
            environment: [:], allocDir: "/alloc/" + Self.alloc, allocID: Self.alloc, taskName: "web")
        let found = try planning([], directories).mounts(
            volumes: [volume("local/x"), volume("/alloc/\(Self.alloc)/alloc/data/x")], devices: [])
        #expect(found.map { $0.destination.root } == ["/alloc/\(Self.alloc)", "/alloc/\(Self.alloc)"])
        #expect(found.map { $0.destination.inside } == ["alloc/data/x", "web/local/x"])
        #expect(found.allSatisfy { $0.destination.isMade == true })
    }

    @Test(arguments: [
        ("", "there is no destination"), ("/", "hide the whole host"), (".", "hide the task's own directories"),
        ("..", "must not have .. in it"), ("/a/../b", "must not have .. in it"),
        ("${NOMAD_TASK_DIR}/x", "has a variable that the client did not know"),
        ("/proc", "at or below /proc"), ("/proc/self", "at or below /proc"), ("/sys/fs", "at or below /sys"),
        ("/dev/shm", "at or below /dev"), ("/mnt", "hide the task's own directories"),
        ("/alloc", "hide the task's own"),
        (task, "hide the task's own directories"), ("local", "hide the task's own directories"),
        (task + "/alloc/", "hide the task's own directories"), ("alloc/logs", "in the log directory"),
        ("alloc/logs/x", "in the log directory"), ("/alloc/\(alloc)/alloc/logs", "in the log directory"),
        (String(repeating: "x/", count: 2048), "4095 are the most"),
        // To Swift a slash and a combining mark are one character, which is no slash.
        ("a/../\u{301}b", "must not have .. in it"), ("/proc/\u{301}x", "at or below /proc"),
        ("alloc/logs/\u{301}x", "in the log directory"),
    ])
    func impossibleDestinationsAreRefused(text: String, reason: String) {
        #expect(refusal([volume(text)]).contains(reason))
    }

    @Test func namesThatOnlyBeginLikeKernelDirectoriesAreFine() throws {
        #expect(try plan([volume("/processes"), volume("/system"), volume("/devices")]).count == 3)
    }

    /// Whatever is put together of parts that matter: refused, or what the child may rely on.
    @Test func everyDestinationIsRefusedOrPlain() throws {
        let pieces = [
            "..", ".", "", "/", "local", "alloc", "logs", "proc", "dev", "sys", "mnt", "5d8f1c2a-web", "data", "${X}",
            "a b", "\u{E9}", "\u{301}",
        ]
        var random = SystemRandomNumberGenerator()
        var accepted = 0
        for _ in 0..<5000 {
            let count = Int.random(in: 0...6, using: &random)
            let text =
                (Bool.random(using: &random) ? "/" : "")
                + (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined(separator: "/")
            guard let found = try? plan([volume(text)]).first?.destination else { continue }
            accepted += 1
            let parts = found.path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                .dropFirst().map { String(Substring($0)) }
            #expect(found.path == (found.root == "/" ? "" : found.root) + "/" + found.inside, "\(text)")
            #expect(parts.allSatisfy { !["", ".", "..", "${X}"].contains($0) } && !parts.isEmpty, "\(text)")
            #expect(!["proc", "sys", "dev"].contains(parts.first ?? ""), "\(text)")
            #expect(!(Self.task + "/").utf8.starts(with: (found.path + "/").utf8), "\(text)")
            #expect(!(found.path + "/").utf8.starts(with: (Self.task + "/alloc/logs/").utf8), "\(text)")
            #expect(found.isMade == found.path.utf8.starts(with: (Self.task + "/").utf8), "\(text)")
        }
        #expect(accepted > 100)
    }

    @Test func aDestinationIsTakenOnce() {
        #expect(
            refusal([volume("local/x"), volume(Self.task + "/local/x/", "/srv/other")])
                == "two volumes or devices of the task have the destination \"\(Self.task)/local/x\": only one can")
        #expect(
            refusal([volume("/data")], [DeviceRequest(taskPath: "/data", hostPath: "/dev/kvm")]).contains(
                "only one can"))
    }

    @Test func parentsComeFirst() throws {
        let found = try plan([volume("/data/b/c"), volume("/data-2"), volume("/data/b"), volume("/data")])
        #expect(found.map(\.destination.path) == ["/data", "/data-2", "/data/b", "/data/b/c"])
    }

    // MARK: Volumes

    @Test func aWritableVolumeIsAllItsModesAllow() throws {
        #expect(
            try plan([volume("/data")]) == [
                TaskMount(
                    kind: .volume, source: "/srv/data",
                    destination: try #require(try plan([volume("/data")]).first).destination,
                    modes: .all)
            ])
    }

    @Test(arguments: [
        ("r:/data", true), ("rx:/data", false), ("rx:/data/bin", false), ("x:/", false), ("rwxc:/srv/data/", false),
        ("rx:/srv/data2", true), ("rx:/database", true),
    ])
    func aReadOnlyVolumeRunsNothingUnlessARuleSaysSo(rule: String, noExec: Bool) throws {
        var request = volume("/data")
        request.readOnly = true
        let found = try #require(try plan([request], [], [UnveilRule(parsing: rule)]).first)
        #expect(found.readOnly && found.modes == .read)
        #expect(found.noExec == noExec)
    }

    @Test(arguments: [("", false), ("private", false), ("host-to-task", true)])
    func propagation(mode: String, follows: Bool) throws {
        var request = volume("/data")
        request.propagation = mode
        #expect(try plan([request]).first?.followsHost == follows)
    }

    @Test(arguments: [
        ("bidirectional", "cannot mount anything"), ("rslave", "must be \"private\" or \"host-to-task\""),
    ])
    func otherPropagationIsRefused(mode: String, reason: String) {
        var request = volume("/data")
        request.propagation = mode
        #expect(refusal([request]).contains(reason))
    }

    @Test func labelsAreRefusedAndSourcesAbsolute() {
        var request = volume("/data")
        request.seLinuxLabel = "z"
        #expect(refusal([request]).contains("selinux_label is \"z\""))
        #expect(refusal([volume("/data", "srv")]).contains("host_path is \"srv\": must be an absolute path"))
    }

    // MARK: Devices

    @Test func aDeviceIsMountedInItsPlaceToo() throws {
        let device = DeviceRequest(taskPath: "/dev/kvm", hostPath: "/dev/kvm", permissions: "rwm")
        let found = try plan([], [device, device])
        #expect(found.map(\.destination.path) == ["/dev/kvm"])
        #expect(found.map(\.source) == ["/dev/kvm"] && found.map(\.modes) == [[.read, .write]])
        let unnamed = DeviceRequest(taskPath: "", hostPath: "/dev/kvm")
        #expect(try plan([], [unnamed]).map(\.destination.path) == ["/dev/kvm"])
    }

    @Test func aDeviceElsewhereIsMountedAndRunsNothing() throws {
        let found = try #require(try plan([], [DeviceRequest(taskPath: "/dev/gpu0", hostPath: "/dev/gpu3")]).first)
        #expect(found.destination.path == "/dev/gpu0" && !found.destination.isMade)
        #expect(found.modes == [.read, .write])
    }

    @Test(arguments: [("r", "r"), ("wm", "w"), ("mwr", "rw"), ("", "rw")])
    func permissionsAreModes(permissions: String, modes: String) throws {
        let device = DeviceRequest(taskPath: "/dev/kvm", hostPath: "/dev/kvm", permissions: permissions)
        #expect(try plan([], [device]).first?.modes.letters == modes)
    }

    @Test(arguments: [("m", "neither reading nor writing"), ("rx", "must be any of r, w and m")])
    func otherPermissionsAreRefused(permissions: String, reason: String) {
        let device = DeviceRequest(taskPath: "/dev/kvm", hostPath: "/dev/kvm", permissions: permissions)
        #expect(refusal([], [device]).contains(reason))
    }
}
