import CMessages
import Messages

/// What a StartTask asks for, as plain values (message TaskConfig).
package struct TaskRequest: Sendable {
    package enum Network: Equatable, Sendable {
        case host
        /// Enter the namespace at the path.
        case group(path: String)
        case unsupported(mode: String)
    }

    package var id = ""
    package var name = ""
    package var allocID = ""
    package var user = ""
    var driverConfig: [UInt8] = []
    /// The job's and the devices' variables; the job's win.
    package var environment: [String: String] = [:]
    package var allocDir = ""
    package var stdoutPath = ""
    package var stderrPath = ""
    package var resources = RequestedResources()
    package var cgroup = ""
    package var network = Network.host
    package var volumes: [VolumeRequest] = []
    var devices: [DeviceRequest] = []
    /// Nil if the task has no dns block.
    package var dns: DNSRequest?
    var hosts: HostsRequest?

    package init() {}
}

extension TaskRequest {
    package init(_ config: MessageView<Wire.TaskConfig>) {
        id = config.id
        name = config.name
        allocID = config.alloc_id
        user = config.user
        driverConfig = config.msgpack_driver_config
        environment = config.stringMap(.deviceEnv)
            .merging(config.stringMap(.env)) { _, job in job }
        allocDir = config.alloc_dir
        stdoutPath = config.stdout_path
        stderrPath = config.stderr_path
        volumes = config.messages(.mounts).map(VolumeRequest.init)
        devices = config.messages(.devices).map(DeviceRequest.init)
        dns = config.dns.map(DNSRequest.init)
        hosts = config.network_isolation_spec?.hostsconfig.map(HostsRequest.init)
        if let given = config.resources {
            resources.cpuShares = given.allocated_resources?.cpu?.cpu_shares ?? 0
            resources.memoryMB = given.allocated_resources?.memory?.memory_mb ?? 0
            resources.memoryMaxMB = given.allocated_resources?.memory?.memory_max_mb ?? 0
            resources.linux.cpuShares = given.linux_resources?.cpu_shares ?? 0
            resources.linux.cpuQuota = given.linux_resources?.cpu_quota ?? 0
            resources.linux.cpuPeriod = given.linux_resources?.cpu_period ?? 0
            resources.linux.memoryLimitBytes = given.linux_resources?.memory_limit_bytes ?? 0
            cgroup = given.linux_resources?.cpuset_cgroup ?? ""
        }
        network = Self.network(config.network_isolation_spec)
    }

    private static func network(_ spec: MessageView<Wire.NetworkIsolationSpec>?) -> Network {
        guard let spec else { return .host }
        switch spec.mode {
        case HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__HOST:
            return .host
        case HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__GROUP:
            return .group(path: spec.path)
        case HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__TASK:
            return .unsupported(mode: "task")
        case HASHICORP__NOMAD__PLUGINS__DRIVERS__PROTO__NETWORK_ISOLATION_SPEC__NETWORK_ISOLATION_MODE__NONE:
            return .unsupported(mode: "none")
        default:
            return .unsupported(mode: String(spec.mode.rawValue))
        }
    }
}
