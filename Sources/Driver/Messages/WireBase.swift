import CMessages

// hashicorp.nomad.plugins.base.proto and shared.structs.

extension Wire {
    typealias PluginInfoRequest = Hashicorp__Nomad__Plugins__Base__Proto__PluginInfoRequest
    typealias PluginInfoResponse = Hashicorp__Nomad__Plugins__Base__Proto__PluginInfoResponse
    typealias ConfigSchemaRequest = Hashicorp__Nomad__Plugins__Base__Proto__ConfigSchemaRequest
    typealias ConfigSchemaResponse = Hashicorp__Nomad__Plugins__Base__Proto__ConfigSchemaResponse
    typealias SetConfigRequest = Hashicorp__Nomad__Plugins__Base__Proto__SetConfigRequest
    typealias SetConfigResponse = Hashicorp__Nomad__Plugins__Base__Proto__SetConfigResponse
    typealias NomadConfig = Hashicorp__Nomad__Plugins__Base__Proto__NomadConfig
    typealias NomadDriverConfig = Hashicorp__Nomad__Plugins__Base__Proto__NomadDriverConfig
    typealias ClientTopology = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopology
    typealias ClientTopologySLIT = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopologySLIT
    typealias ClientTopologyCore = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopologyCore
    typealias Attribute = Hashicorp__Nomad__Plugins__Shared__Structs__Attribute
    typealias RecoverableError = Hashicorp__Nomad__Plugins__Shared__Structs__RecoverableError
    typealias PluginType = Hashicorp__Nomad__Plugins__Base__Proto__PluginType
    typealias CoreGrade = Hashicorp__Nomad__Plugins__Base__Proto__CoreGrade
    typealias AttributeValueCase = Hashicorp__Nomad__Plugins__Shared__Structs__Attribute__ValueCase
}

extension Wire.PluginInfoRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__plugin_info_request__init(message)
    }
}
extension Wire.PluginInfoResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__plugin_info_response__init(message)
    }
}
extension Wire.ConfigSchemaRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__config_schema_request__init(message)
    }
}
extension Wire.ConfigSchemaResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__config_schema_response__init(message)
    }
}
extension Wire.SetConfigRequest: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__set_config_request__init(message)
    }
}
extension Wire.SetConfigResponse: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__set_config_response__init(message)
    }
}
extension Wire.NomadConfig: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__nomad_config__init(message)
    }
}
extension Wire.NomadDriverConfig: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__nomad_driver_config__init(message)
    }
}
extension Wire.ClientTopology: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology__init(message)
    }
}
extension Wire.ClientTopologySLIT: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology_slit__init(message)
    }
}
extension Wire.ClientTopologyCore: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology_core__init(message)
    }
}
extension Wire.Attribute: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__structs__attribute__init(message)
    }
}
extension Wire.RecoverableError: WireMessage {
    static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__structs__recoverable_error__init(message)
    }
}
