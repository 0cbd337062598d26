import CMessages
import Shared
import Testing

@testable import EventLoop
@testable import Messages
@testable import Planning
@testable import Supervision

@Suite struct LaunchSpecificationTests {
    private static let full: LaunchSpecification = {
        var result = LaunchSpecification(
            user: TaskUser(name: "web", uid: 1001, gid: 1002, groups: [1002, 44], home: "/home/web"))
        result.taskID = "a/web"
        result.taskName = "web"
        result.programs = ["/usr/bin/env", "/bin/env"]
        result.arguments = ["env", "", "a b"]
        result.environment = ["A=1", "B="]
        result.workDir = .init(root: "/mnt/a-web", path: "local")
        result.stdoutPath = "/l/out"
        result.stderrPath = "/l/err"
        result.logRoot = "/l"
        result.oomScoreAdj = 500
        result.unveil = [
            .init(rule: UnveilRule(modes: [.read, .execute], path: "/usr/bin"), optional: true),
            .init(
                rule: UnveilRule(modes: .all, path: "/mnt/a-web/tmp"), noSymlink: true, afterMounts: true,
                beneath: "/mnt/a-web", origin: "x"),
        ]
        result.unveil[1].keepsDirectories = true
        result.generatedFiles = [GeneratedFile(path: "/etc/hosts", text: "127.0.0.1 localhost\n")]
        result.mounts = [
            destination("/dev/kvm", isDevice: true).map {
                TaskMount(kind: .device, source: "/dev/kvm", destination: $0, modes: [.read, .write])
            },
            destination("local/data", isDevice: false).map {
                TaskMount(
                    kind: .volume, source: "/srv/data", destination: $0, modes: .read, readOnly: true, noExec: true,
                    followsHost: true)
            },
        ].compactMap { $0 }
        result.networkNamespace = "/run/netns/x"
        result.cgroup = "/sys/fs/cgroup/x.scope"
        result.cgroupWrites = [
            CgroupWrite(file: "memory.max", value: "1"),
            CgroupWrite(file: "memory.swap.max", value: "0", mayBeMissing: true),
        ]
        return result
    }()

    private static let directories = TaskDirectories(
        environment: ["NOMAD_TASK_DIR": "/mnt/a-web/local"], allocDir: "/l", allocID: "a", taskName: "web")

    private static func destination(_ path: String, isDevice: Bool) -> MountDestination? {
        try? MountDestination(path, of: "x", directories: directories, allocDir: "/l", isDevice: isDevice)
    }

    private static let root: RootSpecification = {
        let path = TemplateSpecification.Path(path: "/srv", optional: true, writable: true, origin: nil)
        let directory = RootSpecification.Directory(
            sourceRoot: "/l", source: "web", inside: "a-web", isReadOnly: true, onlyMounts: true)
        return RootSpecification(
            template: TemplateSpecification(
                PluginConfiguration(), parent: "/mnt", host: HostAbilities(landlockABI: 7, capabilities: 0),
                hasDevices: true, hidden: ["/l"]),
            parent: "/mnt", directories: [directory], replacements: [directory],
            privateTmp: "a-web/tmp",
            ownCgroup: .init(mountPoint: "/sys/fs/cgroup", inside: "nomad.slice/x.scope"), paths: [path],
            sharedMemoryBytes: 1, hasTerminals: true, hasReadOnlyProc: true)
    }()

    private func decoded(_ specification: LaunchSpecification) throws -> MessageView<
        Exec2__Executor__LaunchRequest
    > {
        try DecodedMessage(
            specification.encoded(
                session: 7, directory: TaskStateDirectory(stateDirectory: "/run/x", name: "a+web"))
        ).root
    }

    /// An Executor of an earlier release would start the task without what ties it to its process.
    @Test func anAttachedTaskNeedsAnExecutorThatKnowsAttachments() throws {
        var specification = Self.full
        specification.attachment = .init(leash: 17, stdin: 18, hasTerminal: true, killTimeoutNanoseconds: 5_000_000_000)
        let request = try decoded(specification)
        #expect(request.protocol == LaunchVersion.attached && LaunchVersion.attached > LaunchVersion.plain)
        let attachment = try #require(request.attachment)
        #expect(attachment.isSet(\.terminal) && attachment.kill_timeout_ns == 5_000_000_000)
        #expect(specification.attachment?.places.map(\.number) == [17, 18])
        #expect(specification.attachment?.places.map(\.place) == [5, 6])
        #expect(!attachment.isSet(\.own_terminals))
        specification.attachment = .init(
            leash: 17, stdin: 18, hasTerminal: true, terminals: 19, killTimeoutNanoseconds: 5)
        #expect(specification.attachment?.places.map(\.number) == [17, 18, 19])
        #expect(specification.attachment?.places.map(\.place) == [5, 6, TemplateDescriptor.terminals])
        #expect(try #require(try decoded(specification).attachment).isSet(\.own_terminals))
    }

    /// An Executor of an earlier release would send signals to the process group.
    @Test func signalsForOneProcessNeedAnExecutorThatKnowsThem() throws {
        var specification = Self.full
        #expect(!(try decoded(specification).isSet(\.signal_main_process)))
        specification.signalTarget = .process
        let request = try decoded(specification)
        #expect(request.isSet(\.signal_main_process) && request.protocol == LaunchVersion.mainProcessSignals)
        #expect(LaunchVersion.mainProcessSignals > LaunchVersion.ownRoot)
        #expect(LaunchVersion.mainProcessSignals == LaunchVersion.newest)
    }

    /// A command's error names a rule as it was written.
    @Test func anOptionalRuleIsKnownByTheRequest() throws {
        var specification = Self.full
        specification.unveil.append(
            .init(rule: UnveilRule(modes: .read, path: "/x", isOptional: true), optional: true, origin: "y"))
        let context = LaunchFailureContext(try decoded(specification))
        #expect(context == LaunchFailureContext(specification))
        #expect(context.rules.last?.rule.text == "r?:/x" && context.rules.first?.rule.text == "rx:/usr/bin")
    }

    @Test func everythingIsInTheRequest() throws {
        let request = try decoded(Self.full)
        #expect(request.attachment == nil)
        #expect(request.protocol == LaunchVersion.plain)
        #expect(request.session == 7)
        #expect(request.task_state_dir == "/run/x/a+web")
        #expect([request.state_dir, request.task_id, request.task_name] == ["/run/x", "a/web", "web"])
        #expect(request.boot_id == Boot.id)
        #expect(request.strings(.programs) == ["/usr/bin/env", "/bin/env"])
        #expect(request.strings(.arguments) == ["env", "", "a b"])
        #expect(request.strings(.environment) == ["A=1", "B="])
        #expect([request.work_dir_root, request.work_dir] == ["/mnt/a-web", "local"])
        #expect([request.stdout_path, request.stderr_path, request.log_root] == ["/l/out", "/l/err", "/l"])
        #expect([request.user_id, request.group_id] == [1001, 1002])
        #expect(request.values(.groups) == [1002, 44])
        #expect(request.oom_score_adj == 500)
        #expect(request.isSet(\.scope_abstract_sockets))
        #expect(request.network_namespace == "/run/netns/x")
        #expect(request.cgroup == "/sys/fs/cgroup/x.scope")
    }

    @Test func listsKeepTheirOrderAndFlags() throws {
        let request = try decoded(Self.full)
        let unveil = request.messages(.unveil)
        #expect(unveil.map(\.path) == ["/usr/bin", "/mnt/a-web/tmp"])
        #expect(unveil.map(\.modes) == [0b0101, 0b1111])
        #expect(unveil.map { $0.isSet(\.optional) } == [true, false])
        #expect(unveil.map { $0.isSet(\.no_symlink) } == [false, true])
        #expect(unveil.map { $0.isSet(\.after_mounts) } == [false, true])
        let writes = request.messages(.cgroupWrites)
        #expect(writes.map(\.file) == ["memory.max", "memory.swap.max"])
        #expect(writes.map(\.value) == ["1", "0"])
        #expect(writes.map { $0.isSet(\.optional) } == [false, true])
    }

    @Test func mountsAndFilesAreInTheRequest() throws {
        let request = try decoded(Self.full)
        let files = request.messages(.generatedFiles)
        #expect(files.map(\.path) == ["/etc/hosts"])
        #expect(files.map(\.content) == [Array("127.0.0.1 localhost\n".utf8)])
        let mounts = request.messages(.mounts)
        #expect(mounts.map(\.source) == ["/dev/kvm", "/srv/data"])
        #expect(mounts.map(\.root) == ["/", "/mnt"])
        #expect(mounts.map(\.inside) == ["dev/kvm", "a-web/local/data"])
        #expect(mounts.map(\.modes) == [0b0011, 0b0001])
        #expect(mounts.map { $0.isSet(\.device) } == [true, false])
        for flag in [\Exec2__Executor__Mount.make, \.read_only, \.no_exec, \.follow_host] {
            #expect(mounts.map { $0.isSet(flag) } == [false, true])
        }
    }

    /// The request of a template has them; a task's has what is found of them in the template.
    @Test func whatNoTaskReachesIsInTheRequestOfATemplate() throws {
        var planning = LaunchPlanning(
            configuration: PluginConfiguration(), megahertzPerCore: nil,
            host: HostAbilities(landlockABI: 7, capabilities: 0))
        planning.clientMounts = ["/clients"]
        let options = TaskOptions(
            command: .path("/bin/true"), arguments: [], unveil: [], oomScoreAdjustment: nil, root: RootOptions())
        let specification = try planning.specification(
            for: RootPlanningTests.request(), options: options,
            user: TaskUser(name: "web", uid: 1000, gid: 1000, groups: [], home: "/"))
        let template = try #require(specification.root?.template)
        let request = try DecodedMessage<Exec2__Executor__LaunchRequest>(template.encoded).root
        let hidden = try #require(request.root_template).strings(.hidden)
        #expect(hidden == template.hidden)
        #expect(Set(["/clients", "/data/alloc_mounts", PluginSockets.parent]).isSubset(of: hidden))
    }

    // MARK: Nothing is left out

    /// The names of the fields of a message and, below their fields, of its submessages: all of them, and those that
    /// have no other value than their default in any.
    private static func fields(
        _ message: UnsafeRawPointer, _ prefix: String = "", all: inout Set<String>, filled: inout Set<String>
    ) {
        guard let descriptor = message.load(as: ProtobufCMessage.self).descriptor?.pointee else { return }
        for field in UnsafeBufferPointer(start: descriptor.fields, count: Int(descriptor.n_fields)) {
            let name = prefix + String(cString: field.name)
            all.insert(name)
            let place = message + Int(field.offset)
            let isFilled: Bool
            if field.label == PROTOBUF_C_LABEL_REPEATED {
                let count = message.load(fromByteOffset: Int(field.quantifier_offset), as: Int.self)
                isFilled = count > 0
                if field.type == PROTOBUF_C_TYPE_MESSAGE, isFilled {
                    for index in 0..<count {
                        let element = place.load(as: UnsafePointer<UnsafeRawPointer>.self)[index]
                        fields(element, name + ".", all: &all, filled: &filled)
                    }
                }
            } else {
                switch field.type {
                case PROTOBUF_C_TYPE_STRING: isFilled = place.load(as: UnsafePointer<CChar>.self).pointee != 0
                case PROTOBUF_C_TYPE_BYTES: isFilled = place.load(as: ProtobufCBinaryData.self).len > 0
                case PROTOBUF_C_TYPE_MESSAGE:
                    let element = place.load(as: UnsafeRawPointer?.self)
                    isFilled = element != nil
                    if let element { fields(element, name + ".", all: &all, filled: &filled) }
                case PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_INT64: isFilled = place.load(as: UInt64.self) != 0
                default: isFilled = place.load(as: UInt32.self) != 0
                }
            }
            if isFilled { filled.insert(name) }
        }
    }

    /// A field of the request that `encoded` forgets stays at its default, whatever the description has.
    @Test func everyFieldOfTheRequestComesFromTheDescription() throws {
        var specification = Self.full
        specification.attachment = .init(
            leash: 17, stdin: 18, hasTerminal: true, terminals: 19, killTimeoutNanoseconds: 5)
        specification.confinement.capabilities = 3
        specification.confinement.ambientCapabilities = 1
        specification.confinement.resourceLimits = [ResourceLimit(.nofile, soft: 1, hard: 2)]
        specification.confinement.tcpBind = [80]
        specification.confinement.tcpConnect = [443]
        specification.confinement.udpBind = [53]
        specification.confinement.udpConnect = [53]
        specification.confinement.opensPathnameSockets = true
        specification.confinement.logsDenials = true
        specification.confinement.quietPaths = ["/proc"]
        specification.confinement.seccompFilter = SeccompFilter([], on: .amd64)
        specification.signalTarget = .process
        specification.root = Self.root
        let request = try decoded(specification)
        var all: Set<String> = []
        var filled: Set<String> = []
        let (owner, pointer) = request.parts
        withExtendedLifetime(owner) { Self.fields(pointer, all: &all, filled: &filled) }
        // What only the requests of a command, of a template and of an earlier release have.
        #expect(all.subtracting(filled) == ["exec", "root_template", "read_only", "task_directories"])
        #expect(filled.count > 60)
    }
}
