import CMessages

// hashicorp.nomad.plugins.drivers.proto: what the calls carry.

extension Wire {
    package typealias DriverCapabilities = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities
    package typealias TaskHandle = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskHandle
    typealias NetworkOverridePortMapEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkOverride__PortMapEntry
    typealias NetworkOverride = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkOverride
    package typealias ExitResult = Hashicorp__Nomad__Plugins__Drivers__Proto__ExitResult
    package typealias TaskStatus = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatus
    package typealias TaskDriverStatusAttributesEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__TaskDriverStatus__AttributesEntry
    package typealias TaskDriverStatus = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskDriverStatus
    package typealias TaskConfigEnvEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig__EnvEntry
    package typealias TaskConfigDeviceEnvEntry = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig__DeviceEnvEntry
    package typealias TaskConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfig
    typealias Resources = Hashicorp__Nomad__Plugins__Drivers__Proto__Resources
    typealias AllocatedTaskResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedTaskResources
    typealias AllocatedCpuResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedCpuResources
    typealias AllocatedMemoryResources = Hashicorp__Nomad__Plugins__Drivers__Proto__AllocatedMemoryResources
    typealias NetworkResource = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkResource
    typealias NetworkPort = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkPort
    typealias PortMapping = Hashicorp__Nomad__Plugins__Drivers__Proto__PortMapping
    typealias LinuxResources = Hashicorp__Nomad__Plugins__Drivers__Proto__LinuxResources
    package typealias Mount = Hashicorp__Nomad__Plugins__Drivers__Proto__Mount
    package typealias Device = Hashicorp__Nomad__Plugins__Drivers__Proto__Device
    typealias NetworkIsolationSpecLabelsEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec__LabelsEntry
    package typealias NetworkIsolationSpec = Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec
    package typealias HostsConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__HostsConfig
    package typealias DNSConfig = Hashicorp__Nomad__Plugins__Drivers__Proto__DNSConfig
    package typealias TaskStatsResourceUsageByPidEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStats__ResourceUsageByPidEntry
    package typealias TaskStats = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStats
    package typealias TaskResourceUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskResourceUsage
    package typealias CPUUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__CPUUsage
    package typealias MemoryUsage = Hashicorp__Nomad__Plugins__Drivers__Proto__MemoryUsage
    package typealias DriverTaskEventAnnotationsEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__DriverTaskEvent__AnnotationsEntry
    package typealias DriverTaskEvent = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverTaskEvent
    typealias DriverCapabilitiesFSIsolation = Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities__FSIsolation
    typealias DriverCapabilitiesMountConfigs =
        Hashicorp__Nomad__Plugins__Drivers__Proto__DriverCapabilities__MountConfigs
    package typealias NetworkIsolationSpecNetworkIsolationMode =
        Hashicorp__Nomad__Plugins__Drivers__Proto__NetworkIsolationSpec__NetworkIsolationMode
    package typealias CPUUsageFields = Hashicorp__Nomad__Plugins__Drivers__Proto__CPUUsage__Fields
    package typealias MemoryUsageFields = Hashicorp__Nomad__Plugins__Drivers__Proto__MemoryUsage__Fields
    typealias TaskState = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskState
}

extension Wire.DriverCapabilities: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_capabilities__init(message)
    }
}
extension Wire.TaskHandle: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_handle__init(message)
    }
}
extension Wire.NetworkOverridePortMapEntry: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_override__port_map_entry__init(message)
    }
}
extension Wire.NetworkOverride: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_override__init(message)
    }
}
extension Wire.ExitResult: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exit_result__init(message)
    }
}
extension Wire.TaskStatus: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_status__init(message)
    }
}
extension Wire.TaskDriverStatusAttributesEntry: WireStringEntry {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_driver_status__attributes_entry__init(message)
    }
}
extension Wire.TaskDriverStatus: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_driver_status__init(message)
    }
}
extension Wire.TaskConfigEnvEntry: WireStringEntry {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__env_entry__init(message)
    }
}
extension Wire.TaskConfigDeviceEnvEntry: WireStringEntry {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__device_env_entry__init(message)
    }
}
extension Wire.TaskConfig: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config__init(message)
    }
}
extension Wire.Resources: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__resources__init(message)
    }
}
extension Wire.AllocatedTaskResources: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_task_resources__init(message)
    }
}
extension Wire.AllocatedCpuResources: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_cpu_resources__init(message)
    }
}
extension Wire.AllocatedMemoryResources: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__allocated_memory_resources__init(message)
    }
}
extension Wire.NetworkResource: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_resource__init(message)
    }
}
extension Wire.NetworkPort: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_port__init(message)
    }
}
extension Wire.PortMapping: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__port_mapping__init(message)
    }
}
extension Wire.LinuxResources: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__linux_resources__init(message)
    }
}
extension Wire.Mount: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__mount__init(message)
    }
}
extension Wire.Device: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__device__init(message)
    }
}
extension Wire.NetworkIsolationSpecLabelsEntry: WireStringEntry {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_isolation_spec__labels_entry__init(message)
    }
}
extension Wire.NetworkIsolationSpec: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__network_isolation_spec__init(message)
    }
}
extension Wire.HostsConfig: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__hosts_config__init(message)
    }
}
extension Wire.DNSConfig: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__dnsconfig__init(message)
    }
}
extension Wire.TaskStatsResourceUsageByPidEntry: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats__resource_usage_by_pid_entry__init(message)
    }
}
extension Wire.TaskStats: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats__init(message)
    }
}
extension Wire.TaskResourceUsage: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_resource_usage__init(message)
    }
}
extension Wire.CPUUsage: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__cpuusage__init(message)
    }
}
extension Wire.MemoryUsage: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__memory_usage__init(message)
    }
}
extension Wire.DriverTaskEventAnnotationsEntry: WireStringEntry {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_task_event__annotations_entry__init(message)
    }
}
extension Wire.DriverTaskEvent: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__driver_task_event__init(message)
    }
}
