import CMessages

// hashicorp.nomad.plugins.drivers.proto: the calls.

extension Wire {
    package typealias InitRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__InitRequest
    package typealias InitResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__InitResponse
    package typealias ShutdownRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ShutdownRequest
    package typealias ShutdownResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ShutdownResponse
    package typealias TaskConfigSchemaRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfigSchemaRequest
    package typealias TaskConfigSchemaResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfigSchemaResponse
    package typealias CapabilitiesRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__CapabilitiesRequest
    package typealias CapabilitiesResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__CapabilitiesResponse
    package typealias FingerprintRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintRequest
    package typealias FingerprintResponseAttributesEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse__AttributesEntry
    package typealias FingerprintResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse
    package typealias StartTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskRequest
    package typealias StartTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskResponse
    package typealias RecoverTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__RecoverTaskRequest
    package typealias RecoverTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__RecoverTaskResponse
    package typealias WaitTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__WaitTaskRequest
    package typealias WaitTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__WaitTaskResponse
    package typealias StopTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__StopTaskRequest
    package typealias StopTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__StopTaskResponse
    package typealias DestroyTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyTaskRequest
    package typealias DestroyTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyTaskResponse
    package typealias InspectTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__InspectTaskRequest
    package typealias InspectTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__InspectTaskResponse
    package typealias SignalTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__SignalTaskRequest
    package typealias SignalTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__SignalTaskResponse
    typealias CreateNetworkRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__CreateNetworkRequest
    typealias CreateNetworkResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__CreateNetworkResponse
    typealias DestroyNetworkRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyNetworkRequest
    typealias DestroyNetworkResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyNetworkResponse
    package typealias TaskStatsRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatsRequest
    package typealias TaskStatsResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatsResponse
    package typealias TaskEventsRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskEventsRequest
    package typealias ExecTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskRequest
    package typealias ExecTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskResponse
    package typealias ExecTaskStreamingIOOperation =
        Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingIOOperation
    package typealias ExecTaskStreamingRequestSetup =
        Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest__Setup
    package typealias ExecTaskStreamingRequestTerminalSize =
        Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest__TerminalSize
    package typealias ExecTaskStreamingRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest
    package typealias ExecTaskStreamingResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingResponse
    package typealias FingerprintResponseHealthState =
        Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse__HealthState
    typealias StartTaskResponseResult = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskResponse__Result
}

extension Wire.InitRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__init_request__init(message)
    }
}
extension Wire.InitResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__init_response__init(message)
    }
}
extension Wire.ShutdownRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__shutdown_request__init(message)
    }
}
extension Wire.ShutdownResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__shutdown_response__init(message)
    }
}
extension Wire.TaskConfigSchemaRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config_schema_request__init(message)
    }
}
extension Wire.TaskConfigSchemaResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config_schema_response__init(message)
    }
}
extension Wire.CapabilitiesRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__capabilities_request__init(message)
    }
}
extension Wire.CapabilitiesResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__capabilities_response__init(message)
    }
}
extension Wire.FingerprintRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_request__init(message)
    }
}
extension Wire.FingerprintResponseAttributesEntry: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_response__attributes_entry__init(message)
    }
}
extension Wire.FingerprintResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_response__init(message)
    }
}
extension Wire.StartTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__start_task_request__init(message)
    }
}
extension Wire.StartTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__start_task_response__init(message)
    }
}
extension Wire.RecoverTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__recover_task_request__init(message)
    }
}
extension Wire.RecoverTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__recover_task_response__init(message)
    }
}
extension Wire.WaitTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__wait_task_request__init(message)
    }
}
extension Wire.WaitTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__wait_task_response__init(message)
    }
}
extension Wire.StopTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__stop_task_request__init(message)
    }
}
extension Wire.StopTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__stop_task_response__init(message)
    }
}
extension Wire.DestroyTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_task_request__init(message)
    }
}
extension Wire.DestroyTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_task_response__init(message)
    }
}
extension Wire.InspectTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__inspect_task_request__init(message)
    }
}
extension Wire.InspectTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__inspect_task_response__init(message)
    }
}
extension Wire.SignalTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__signal_task_request__init(message)
    }
}
extension Wire.SignalTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__signal_task_response__init(message)
    }
}
extension Wire.CreateNetworkRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__create_network_request__init(message)
    }
}
extension Wire.CreateNetworkResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__create_network_response__init(message)
    }
}
extension Wire.DestroyNetworkRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_network_request__init(message)
    }
}
extension Wire.DestroyNetworkResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_network_response__init(message)
    }
}
extension Wire.TaskStatsRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats_request__init(message)
    }
}
extension Wire.TaskStatsResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats_response__init(message)
    }
}
extension Wire.TaskEventsRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_events_request__init(message)
    }
}
extension Wire.ExecTaskRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_request__init(message)
    }
}
extension Wire.ExecTaskResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_response__init(message)
    }
}
extension Wire.ExecTaskStreamingIOOperation: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_iooperation__init(message)
    }
}
extension Wire.ExecTaskStreamingRequestSetup: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__setup__init(message)
    }
}
extension Wire.ExecTaskStreamingRequestTerminalSize: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__terminal_size__init(message)
    }
}
extension Wire.ExecTaskStreamingRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__init(message)
    }
}
extension Wire.ExecTaskStreamingResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_response__init(message)
    }
}
