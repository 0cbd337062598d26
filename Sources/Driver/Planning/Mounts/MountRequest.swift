import CMessages
import Messages

/// A volume that a task is to have, as the client asks for it (message Mount): of the job's
/// `volume_mount` for host and CSI volumes alike, or of a device plugin.
package struct VolumeRequest: Equatable, Sendable {
    /// Where the task is to find it.
    package var taskPath = ""
    /// What it is on this host.
    package var hostPath = ""
    package var readOnly = false
    /// As the job wrote it; empty where it did not.
    var propagation = ""
    var seLinuxLabel = ""

    package init(
        taskPath: String = "", hostPath: String = "", readOnly: Bool = false, propagation: String = "",
        seLinuxLabel: String = ""
    ) {
        self.taskPath = taskPath
        self.hostPath = hostPath
        self.readOnly = readOnly
        self.propagation = propagation
        self.seLinuxLabel = seLinuxLabel
    }
}

/// A device that a device plugin hands to a task (message Device).
struct DeviceRequest: Equatable, Sendable {
    var taskPath = ""
    var hostPath = ""
    /// Letters of the devices controller of cgroup v1: r, w and m; empty for all.
    var permissions = ""
}

/// What a task's /etc/resolv.conf is to say (message DNSConfig).
package struct DNSRequest: Equatable, Sendable {
    var servers: [String] = []
    var searches: [String] = []
    var options: [String] = []

    var isEmpty: Bool { servers.isEmpty && searches.isEmpty && options.isEmpty }
}

/// The line that a task's /etc/hosts is to have (message HostsConfig).
struct HostsRequest: Equatable, Sendable {
    var hostname = ""
    var address = ""
}

extension VolumeRequest {
    init(_ mount: MessageView<Wire.Mount>) {
        self.init(
            taskPath: mount.task_path, hostPath: mount.host_path, readOnly: mount.isSet(\.readonly),
            propagation: mount.propagation_mode, seLinuxLabel: mount.selinux_label)
    }
}

extension DeviceRequest {
    init(_ device: MessageView<Wire.Device>) {
        self.init(
            taskPath: device.task_path, hostPath: device.host_path, permissions: device.cgroup_permissions)
    }
}

extension DNSRequest {
    init(_ dns: MessageView<Wire.DNSConfig>) {
        self.init(
            servers: dns.strings(.servers), searches: dns.strings(.searches),
            options: dns.strings(.options))
    }
}

extension HostsRequest {
    init(_ hosts: MessageView<Wire.HostsConfig>) {
        self.init(hostname: hosts.hostname, address: hosts.address)
    }
}
