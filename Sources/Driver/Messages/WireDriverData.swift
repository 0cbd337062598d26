import CMessages

// hashicorp.nomad.plugins.drivers.proto: what the calls carry.

extension Wire {
    typealias DriverCapabilities = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities
    typealias TaskHandle = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskHandle
    typealias NetworkOverridePortMapEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkOverride__PortMapEntry
    typealias NetworkOverride = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkOverride
    typealias ExitResult = Hashicorp__Nomad__Plugins__Drivers__Proto__ExitResult
    typealias TaskStatus = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatus
    typealias TaskDriverStatusAttributesEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__TaskDriverStatus__AttributesEntry
    typealias TaskDriverStatus = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskDriverStatus
    typealias TaskConfigEnvEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig__EnvEntry
    typealias TaskConfigDeviceEnvEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig__DeviceEnvEntry
    typealias TaskConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig
    typealias Resources = Hashicorp__Nomad__Plugins__Drivers__Proto__Resources
    typealias AllocatedTaskResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedTaskResources
    typealias AllocatedCpuResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedCpuResources
    typealias AllocatedMemoryResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedMemoryResources
    typealias NetworkResource = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkResource
    typealias NetworkPort = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkPort
    typealias PortMapping = Hashicorp__Nomad__Plugins__Drivers__Proto__PortMapping
    typealias LinuxResources = Hashicorp__Nomad__Plugins__Drivers__Proto__LinuxResources
    typealias Mount = Hashicorp__Nomad__Plugins__Drivers__Proto__Mount
    typealias Device = Hashicorp__Nomad__Plugins__Drivers__Proto__Device
    typealias NetworkIsolationSpecLabelsEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec__LabelsEntry
    typealias NetworkIsolationSpec = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec
    typealias HostsConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__HostsConfig
    typealias DNSConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__DNSConfig
    typealias TaskStatsResourceUsageByPidEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStats__ResourceUsageByPidEntry
    typealias TaskStats = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStats
    typealias TaskResourceUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskResourceUsage
    typealias CPUUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__CPUUsage
    typealias MemoryUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__MemoryUsage
    typealias DriverTaskEventAnnotationsEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__DriverTaskEvent__AnnotationsEntry
    typealias DriverTaskEvent = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverTaskEvent
    typealias DriverCapabilitiesFSIsolation = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities__FSIsolation
    typealias DriverCapabilitiesMountConfigs =
        Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities__MountConfigs
    typealias NetworkIsolationSpecNetworkIsolationMode =
        Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec__NetworkIsolationMode
    typealias CPUUsageFields = Hashicorp__Nomad__Plugins__Drivers__Proto__CPUUsage__Fields
    typealias MemoryUsageFields = Hashicorp__Nomad__Plugins__Drivers__Proto__MemoryUsage__Fields
    typealias TaskState = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskState
}

extension Wire.DriverCapabilities: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_capabilities__init(message)
    }
}
extension Wire.TaskHandle: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_handle__init(message)
    }
}
extension Wire.NetworkOverridePortMapEntry: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_override__port_map_entry__init(message)
    }
}
extension Wire.NetworkOverride: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_override__init(message)
    }
}
extension Wire.ExitResult: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exit_result__init(message)
    }
}
extension Wire.TaskStatus: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_status__init(message)
    }
}
extension Wire.TaskDriverStatusAttributesEntry: WireStringEntry {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_driver_status__attributes_entry__init(message)
    }
}
extension Wire.TaskDriverStatus: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_driver_status__init(message)
    }
}
extension Wire.TaskConfigEnvEntry: WireStringEntry {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__env_entry__init(message)
    }
}
extension Wire.TaskConfigDeviceEnvEntry: WireStringEntry {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__device_env_entry__init(message)
    }
}
extension Wire.TaskConfig: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__init(message)
    }
}
extension Wire.Resources: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__resources__init(message)
    }
}
extension Wire.AllocatedTaskResources: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_task_resources__init(message)
    }
}
extension Wire.AllocatedCpuResources: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_cpu_resources__init(message)
    }
}
extension Wire.AllocatedMemoryResources: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_memory_resources__init(message)
    }
}
extension Wire.NetworkResource: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_resource__init(message)
    }
}
extension Wire.NetworkPort: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_port__init(message)
    }
}
extension Wire.PortMapping: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__port_mapping__init(message)
    }
}
extension Wire.LinuxResources: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__linux_resources__init(message)
    }
}
extension Wire.Mount: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__mount__init(message)
    }
}
extension Wire.Device: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__device__init(message)
    }
}
extension Wire.NetworkIsolationSpecLabelsEntry: WireStringEntry {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_isolation_spec__labels_entry__init(message)
    }
}
extension Wire.NetworkIsolationSpec: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_isolation_spec__init(message)
    }
}
extension Wire.HostsConfig: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__hosts_config__init(message)
    }
}
extension Wire.DNSConfig: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__dnsconfig__init(message)
    }
}
extension Wire.TaskStatsResourceUsageByPidEntry: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats__resource_usage_by_pid_entry__init(message)
    }
}
extension Wire.TaskStats: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats__init(message)
    }
}
extension Wire.TaskResourceUsage: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_resource_usage__init(message)
    }
}
extension Wire.CPUUsage: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__cpuusage__init(message)
    }
}
extension Wire.MemoryUsage: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__memory_usage__init(message)
    }
}
extension Wire.DriverTaskEventAnnotationsEntry: WireStringEntry {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_task_event__annotations_entry__init(message)
    }
}
extension Wire.DriverTaskEvent: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_task_event__init(message)
    }
}
