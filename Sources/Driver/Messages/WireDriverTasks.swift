import CMessages

// hashicorp.nomad.plugins.drivers.proto: the calls.

extension Wire {
    typealias InitRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__InitRequest
    typealias InitResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__InitResponse
    typealias ShutdownRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ShutdownRequest
    typealias ShutdownResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ShutdownResponse
    typealias TaskConfigSchemaRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfigSchemaRequest
    typealias TaskConfigSchemaResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskConfigSchemaResponse
    typealias CapabilitiesRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__CapabilitiesRequest
    typealias CapabilitiesResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__CapabilitiesResponse
    typealias FingerprintRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintRequest
    typealias FingerprintResponseAttributesEntry =
        Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse__AttributesEntry
    typealias FingerprintResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse
    typealias StartTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskRequest
    typealias StartTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskResponse
    typealias RecoverTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__RecoverTaskRequest
    typealias RecoverTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__RecoverTaskResponse
    typealias WaitTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__WaitTaskRequest
    typealias WaitTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__WaitTaskResponse
    typealias StopTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__StopTaskRequest
    typealias StopTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__StopTaskResponse
    typealias DestroyTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyTaskRequest
    typealias DestroyTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyTaskResponse
    typealias InspectTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__InspectTaskRequest
    typealias InspectTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__InspectTaskResponse
    typealias SignalTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__SignalTaskRequest
    typealias SignalTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__SignalTaskResponse
    typealias CreateNetworkRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__CreateNetworkRequest
    typealias CreateNetworkResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__CreateNetworkResponse
    typealias DestroyNetworkRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyNetworkRequest
    typealias DestroyNetworkResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__DestroyNetworkResponse
    typealias TaskStatsRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatsRequest
    typealias TaskStatsResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskStatsResponse
    typealias TaskEventsRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__TaskEventsRequest
    typealias ExecTaskRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskRequest
    typealias ExecTaskResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskResponse
    typealias ExecTaskStreamingIOOperation = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingIOOperation
    typealias ExecTaskStreamingRequestSetup = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest__Setup
    typealias ExecTaskStreamingRequestTerminalSize =
        Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest__TerminalSize
    typealias ExecTaskStreamingRequest = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingRequest
    typealias ExecTaskStreamingResponse = Hashicorp__Nomad__Plugins__Drivers__Proto__ExecTaskStreamingResponse
    typealias FingerprintResponseHealthState =
        Hashicorp__Nomad__Plugins__Drivers__Proto__FingerprintResponse__HealthState
    typealias StartTaskResponseResult = Hashicorp__Nomad__Plugins__Drivers__Proto__StartTaskResponse__Result
}

extension Wire.InitRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__init_request__init(message)
    }
}
extension Wire.InitResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__init_response__init(message)
    }
}
extension Wire.ShutdownRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__shutdown_request__init(message)
    }
}
extension Wire.ShutdownResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__shutdown_response__init(message)
    }
}
extension Wire.TaskConfigSchemaRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config_schema_request__init(message)
    }
}
extension Wire.TaskConfigSchemaResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_config_schema_response__init(message)
    }
}
extension Wire.CapabilitiesRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__capabilities_request__init(message)
    }
}
extension Wire.CapabilitiesResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__capabilities_response__init(message)
    }
}
extension Wire.FingerprintRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_request__init(message)
    }
}
extension Wire.FingerprintResponseAttributesEntry: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_response__attributes_entry__init(message)
    }
}
extension Wire.FingerprintResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__fingerprint_response__init(message)
    }
}
extension Wire.StartTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__start_task_request__init(message)
    }
}
extension Wire.StartTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__start_task_response__init(message)
    }
}
extension Wire.RecoverTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__recover_task_request__init(message)
    }
}
extension Wire.RecoverTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__recover_task_response__init(message)
    }
}
extension Wire.WaitTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__wait_task_request__init(message)
    }
}
extension Wire.WaitTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__wait_task_response__init(message)
    }
}
extension Wire.StopTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__stop_task_request__init(message)
    }
}
extension Wire.StopTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__stop_task_response__init(message)
    }
}
extension Wire.DestroyTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_task_request__init(message)
    }
}
extension Wire.DestroyTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_task_response__init(message)
    }
}
extension Wire.InspectTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__inspect_task_request__init(message)
    }
}
extension Wire.InspectTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__inspect_task_response__init(message)
    }
}
extension Wire.SignalTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__signal_task_request__init(message)
    }
}
extension Wire.SignalTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__signal_task_response__init(message)
    }
}
extension Wire.CreateNetworkRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__create_network_request__init(message)
    }
}
extension Wire.CreateNetworkResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__create_network_response__init(message)
    }
}
extension Wire.DestroyNetworkRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_network_request__init(message)
    }
}
extension Wire.DestroyNetworkResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__destroy_network_response__init(message)
    }
}
extension Wire.TaskStatsRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats_request__init(message)
    }
}
extension Wire.TaskStatsResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_stats_response__init(message)
    }
}
extension Wire.TaskEventsRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__task_events_request__init(message)
    }
}
extension Wire.ExecTaskRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_request__init(message)
    }
}
extension Wire.ExecTaskResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_response__init(message)
    }
}
extension Wire.ExecTaskStreamingIOOperation: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_iooperation__init(message)
    }
}
extension Wire.ExecTaskStreamingRequestSetup: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__setup__init(message)
    }
}
extension Wire.ExecTaskStreamingRequestTerminalSize: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__terminal_size__init(message)
    }
}
extension Wire.ExecTaskStreamingRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_request__init(message)
    }
}
extension Wire.ExecTaskStreamingResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__drivers__proto__exec_task_streaming_response__init(message)
    }
}
