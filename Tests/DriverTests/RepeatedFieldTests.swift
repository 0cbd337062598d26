import CMessages
import Testing

@testable import Messages
@testable import Planning

/// What the sources declare as a message's repeated field is one: a list and that list's count.
@Suite struct RepeatedFieldTests {
    private typealias Launch = Exec2__Executor__LaunchRequest

    /// The field's name in the message's description; nil where the two are not the parts of one field.
    private static func name<Message: WireMessage, Element>(
        _ type: Message.Type, _ field: RepeatedField<Message, Element>
    ) -> String? {
        type.withDescriptor { descriptor in
            UnsafeBufferPointer(start: descriptor.pointee.fields, count: Int(descriptor.pointee.n_fields))
                .first {
                    $0.label == PROTOBUF_C_LABEL_REPEATED
                        && Int($0.offset) == MemoryLayout<Message>.offset(of: field.list)
                        && Int($0.quantifier_offset) == MemoryLayout<Message>.offset(of: field.count)
                }
                .map { String(cString: $0.name) }
        }
    }

    /// Every declared pair, under the name that the message's description must have for it.
    private static var declared: [(name: String, found: String?)] {
        [
            ("plugin_api_versions", name(Wire.PluginInfoResponse.self, .pluginApiVersions)),
            ("attributes", name(Wire.HCL.Object.self, .attributes)),
            ("cores", name(Wire.ClientTopology.self, .cores)),
            ("attributes", name(Wire.FingerprintResponse.self, .attributes)),
            ("network_isolation_modes", name(Wire.DriverCapabilities.self, .networkIsolationModes)),
            ("env", name(Wire.TaskConfig.self, .env)),
            ("device_env", name(Wire.TaskConfig.self, .deviceEnv)),
            ("mounts", name(Wire.TaskConfig.self, .mounts)),
            ("devices", name(Wire.TaskConfig.self, .devices)),
            ("servers", name(Wire.DNSConfig.self, .servers)),
            ("searches", name(Wire.DNSConfig.self, .searches)),
            ("options", name(Wire.DNSConfig.self, .options)),
            ("attributes", name(Wire.TaskDriverStatus.self, .attributes)),
            ("resource_usage_by_pid", name(Wire.TaskStats.self, .resourceUsageByPid)),
            ("measured_fields", name(Wire.CPUUsage.self, .measuredFields)),
            ("measured_fields", name(Wire.MemoryUsage.self, .measuredFields)),
            ("annotations", name(Wire.DriverTaskEvent.self, .annotations)),
            ("command", name(Wire.ExecTaskRequest.self, .command)),
            ("command", name(Wire.ExecTaskStreamingRequestSetup.self, .command)),
            ("details", name(Wire.Google.Status.self, .details)),
            ("programs", name(Launch.self, .programs)),
            ("arguments", name(Launch.self, .arguments)),
            ("environment", name(Launch.self, .environment)),
            ("groups", name(Launch.self, .groups)),
            ("unveil", name(Launch.self, .unveil)),
            ("cgroup_writes", name(Launch.self, .cgroupWrites)),
            ("generated_files", name(Launch.self, .generatedFiles)),
            ("mounts", name(Launch.self, .mounts)),
            ("resource_limits", name(Launch.self, .resourceLimits)),
            ("tcp_bind", name(Launch.self, .tcpBind)),
            ("tcp_connect", name(Launch.self, .tcpConnect)),
            ("udp_bind", name(Launch.self, .udpBind)),
            ("udp_connect", name(Launch.self, .udpConnect)),
            ("quiet_paths", name(Launch.self, .quietPaths)),
            ("paths", name(Exec2__Executor__RootTemplate.self, .paths)),
            ("directories", name(Exec2__Executor__RootTemplate.self, .directories)),
            ("placeholders", name(Exec2__Executor__RootTemplate.self, .placeholders)),
            ("symlinks", name(Exec2__Executor__RootTemplate.self, .symlinks)),
            ("hidden", name(Exec2__Executor__RootTemplate.self, .hidden)),
            ("paths", name(Exec2__Executor__TaskRoot.self, .paths)),
            ("directories", name(Exec2__Executor__TaskRoot.self, .directories)),
            ("replacements", name(Exec2__Executor__TaskRoot.self, .replacements)),
            ("masked", name(Exec2__Executor__TaskRoot.self, .masked)),
        ]
    }

    @Test func everyPairIsOneField() {
        for pair in Self.declared { #expect(pair.found == pair.name) }
    }

    @Test func aListWithAnothersCountIsFound() {
        #expect(Self.name(Wire.TaskConfig.self, RepeatedField(\.n_devices, \.mounts)) == nil)
        #expect(Self.name(Wire.TaskConfig.self, RepeatedField(\.n_mounts, \.mounts)) == "mounts")
    }

    /// A pair that is not in the list above would go unchecked, and a count that is named elsewhere could be the
    /// wrong one.
    @Test func countsAreNamedInTheDeclarationsAlone() throws {
        let fileNames = ["WireRepeatedFields.swift", "LaunchRequestFields.swift"]
        var pairs = 0
        for path in try TargetGraphTests.sources(below: "Sources/Driver") {
            let counts = try TargetGraphTests.text(of: path).split { !$0.isLetter && !$0.isNumber && $0 != "_" }
                .count { $0.hasPrefix("n_") }
            if fileNames.contains(where: path.hasSuffix) {
                pairs += counts
            } else {
                #expect(counts == 0, "\(path) names the count of a repeated field")
            }
        }
        #expect(pairs == Self.declared.count)
    }
}
