import CMessages
import Testing

@testable import GRPCServer
@testable import Messages
@testable import NomadPlugin
@testable import Planning

@Suite struct MessageTests {
    /// A StartTaskRequest with a field of every kind that requests have.
    static func startTask(user: String = "nomad-80000") -> [UInt8] {
        Wire.StartTaskRequest.encoded { request, arena in
            request.task = arena.message(Wire.TaskConfig.self) { task in
                task.id = arena.string("alloc/task/1234abcd")
                task.user = arena.string(user)
                task.msgpack_driver_config = arena.bytes([0x81, 0x00, 0xFF])
                task[.env] = arena.stringMap(
                    Wire.TaskConfigEnvEntry.self, ["PATH": "/bin", "EMPTY": "", "ÜMLAUT": "größe"])
                task.resources = arena.message(Wire.Resources.self) { resources in
                    resources.linux_resources = arena.message(Wire.LinuxResources.self) { linux in
                        linux.cpu_shares = 500
                        linux.memory_limit_bytes = 64 << 20
                        linux.percentticks = 0.25
                    }
                }
                task[.mounts] = arena.messages(Wire.Mount.self, ["/a", "/b"]) { mount, path in
                    mount.task_path = arena.string(path)
                    mount.readonly = true.wire
                }
                task.dns = arena.message(Wire.DNSConfig.self) { dns in
                    dns[.servers] = arena.strings(["10.0.0.1", "10.0.0.2"])
                }
                task.network_isolation_spec = arena.message(Wire.NetworkIsolationSpec.self) { network in
                    network.mode =
                        HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__GROUP
                    network.path = arena.string("/run/netns/x")
                }
            }
        }
    }

    @Test func everyKindOfFieldComesBack() throws {
        let request = try DecodedMessage<Wire.StartTaskRequest>(Self.startTask()).root
        let task = try #require(request.task)
        #expect(task.id == "alloc/task/1234abcd")
        #expect(task.name == "")
        #expect(task.msgpack_driver_config == [0x81, 0x00, 0xFF])
        #expect(task.stringMap(.env) == ["PATH": "/bin", "EMPTY": "", "ÜMLAUT": "größe"])
        #expect(task.stringMap(.deviceEnv) == [:])
        #expect(task.resources?.linux_resources?.cpu_shares == 500)
        #expect(task.resources?.linux_resources?.memory_limit_bytes == 64 << 20)
        #expect(task.resources?.linux_resources?.percentticks == 0.25)
        #expect(task.resources?.allocated_resources == nil)
        let mounts = task.messages(.mounts)
        #expect(mounts.map(\.task_path) == ["/a", "/b"])
        #expect(mounts.allSatisfy { $0.isSet(\.readonly) })
        #expect(task.dns.map { $0.strings(.servers) } == ["10.0.0.1", "10.0.0.2"])
        #expect(
            task.network_isolation_spec?.mode
                == HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__GROUP)
    }

    private static var nodeIDs: RepeatedField<Wire.ClientTopology, UInt32> { .init(\.n_node_ids, \.node_ids) }

    @Test func numberListsComeBack() throws {
        let bytes = Wire.ClientTopology.encoded { topology, arena in
            topology[Self.nodeIDs] = arena.values([0, 1, .max])
        }
        let topology = try DecodedMessage<Wire.ClientTopology>(bytes).root
        #expect(topology.values(Self.nodeIDs) == [0, 1, .max])
    }

    @Test func noBytesAreAnEmptyMessage() throws {
        let request = try DecodedMessage<Wire.StartTaskRequest>([]).root
        #expect(request.task == nil)
        #expect(Wire.StartTaskRequest.encoded() == [])
    }

    @Test func aViewOutlivesTheNameOfItsOwner() throws {
        var mounts: [MessageView<Wire.Mount>] = []
        do {
            let request = try DecodedMessage<Wire.StartTaskRequest>(Self.startTask())
            mounts = request.root.task?.messages(.mounts) ?? []
        }
        #expect(mounts.map(\.task_path) == ["/a", "/b"])
    }

    @Test func mapEntriesWithoutKeyOrValueAreEmptyText() throws {
        // StartTaskRequest.task.env: an empty entry, one with a key only, one with a value only.
        let env: [UInt8] = [0x22, 0x00, 0x22, 0x03, 0x0A, 0x01, 0x6B, 0x22, 0x03, 0x12, 0x01, 0x76]
        let request = try DecodedMessage<Wire.StartTaskRequest>([0x0A, UInt8(env.count)] + env).root
        #expect(request.task?.stringMap(.env) == ["": "v", "k": ""])
    }

    @Test func aReceivedMessageCanBeSentOn() throws {
        let request = try DecodedMessage<Wire.StartTaskRequest>(Self.startTask()).root
        let answer = Wire.StartTaskResponse.encoded { response, arena in
            response.handle = arena.message(Wire.TaskHandle.self) { handle in
                handle.version = 1
                handle.config = request.task.flatMap { arena.borrow($0) }
            }
        }
        let response = try DecodedMessage<Wire.StartTaskResponse>(answer).root
        #expect(response.handle?.config?.user == "nomad-80000")
        #expect(response.handle?.config?.stringMap(.env)["PATH"] == "/bin")
    }

    @Test func nulInBuiltTextIsReplaced() throws {
        let bytes = Wire.WaitTaskRequest.encoded { request, arena in request.task_id = arena.string("a\0b") }
        #expect(try DecodedMessage<Wire.WaitTaskRequest>(bytes).root.task_id == "a\u{FFFD}b")
    }

    @Test(arguments: [true, false]) func startFailureCarriesRecoverableError(_ recoverable: Bool) throws {
        let status = RPCStatus.startFailure("cannot mount", recoverable: recoverable)
        #expect(status.code == .failedPrecondition)
        let details = try DecodedMessage<Wire.Google.Status>(try #require(status.details)).root
        #expect(details.code == 9)
        #expect(details.message == "cannot mount")
        let any = try #require(details.messages(.details).first)
        #expect(any.type_url == "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError")
        #expect(any.value == (recoverable ? [0x08, 0x01] : []))
    }
}
