import CMessages

// The repeated fields that are read or written, each declared once. Those of the launch request stand beside it.

extension RepeatedField where Message == Wire.PluginInfoResponse {
    package static var pluginApiVersions: Text { Text(\.n_plugin_api_versions, \.plugin_api_versions) }
}

extension RepeatedField where Message == Wire.HCL.Object {
    package static var attributes: Messages<Wire.HCL.ObjectAttributesEntry> { Messages(\.n_attributes, \.attributes) }
}

extension RepeatedField where Message == Wire.ClientTopology {
    package static var cores: Messages<Wire.ClientTopologyCore> { Messages(\.n_cores, \.cores) }
}

extension RepeatedField where Message == Wire.FingerprintResponse {
    package static var attributes: Messages<Wire.FingerprintResponseAttributesEntry> {
        Messages(\.n_attributes, \.attributes)
    }
}

extension RepeatedField where Message == Wire.DriverCapabilities {
    package static var networkIsolationModes: Values<Wire.NetworkIsolationSpecNetworkIsolationMode> {
        Values(\.n_network_isolation_modes, \.network_isolation_modes)
    }
}

extension RepeatedField where Message == Wire.TaskConfig {
    package static var env: Messages<Wire.TaskConfigEnvEntry> { Messages(\.n_env, \.env) }
    package static var deviceEnv: Messages<Wire.TaskConfigDeviceEnvEntry> { Messages(\.n_device_env, \.device_env) }
    package static var mounts: Messages<Wire.Mount> { Messages(\.n_mounts, \.mounts) }
    package static var devices: Messages<Wire.Device> { Messages(\.n_devices, \.devices) }
}

extension RepeatedField where Message == Wire.DNSConfig {
    package static var servers: Text { Text(\.n_servers, \.servers) }
    package static var searches: Text { Text(\.n_searches, \.searches) }
    package static var options: Text { Text(\.n_options, \.options) }
}

extension RepeatedField where Message == Wire.TaskDriverStatus {
    package static var attributes: Messages<Wire.TaskDriverStatusAttributesEntry> {
        Messages(\.n_attributes, \.attributes)
    }
}

extension RepeatedField where Message == Wire.TaskStats {
    package static var resourceUsageByPid: Messages<Wire.TaskStatsResourceUsageByPidEntry> {
        Messages(\.n_resource_usage_by_pid, \.resource_usage_by_pid)
    }
}

extension RepeatedField where Message == Wire.CPUUsage {
    package static var measuredFields: Values<Wire.CPUUsageFields> { Values(\.n_measured_fields, \.measured_fields) }
}

extension RepeatedField where Message == Wire.MemoryUsage {
    package static var measuredFields: Values<Wire.MemoryUsageFields> {
        Values(\.n_measured_fields, \.measured_fields)
    }
}

extension RepeatedField where Message == Wire.DriverTaskEvent {
    package static var annotations: Messages<Wire.DriverTaskEventAnnotationsEntry> {
        Messages(\.n_annotations, \.annotations)
    }
}

extension RepeatedField where Message == Wire.ExecTaskRequest {
    package static var command: Text { Text(\.n_command, \.command) }
}

extension RepeatedField where Message == Wire.ExecTaskStreamingRequestSetup {
    package static var command: Text { Text(\.n_command, \.command) }
}

extension RepeatedField where Message == Wire.Google.Status {
    package static var details: Messages<Wire.Google.AnyMessage> { Messages(\.n_details, \.details) }
}
