import CMessages

// hashicorp.nomad.plugins.base.proto and shared.structs.

extension Wire {
    package typealias PluginInfoRequest = Hashicorp__Nomad__Plugins__Base__Proto__PluginInfoRequest
    package typealias PluginInfoResponse = Hashicorp__Nomad__Plugins__Base__Proto__PluginInfoResponse
    package typealias ConfigSchemaRequest = Hashicorp__Nomad__Plugins__Base__Proto__ConfigSchemaRequest
    package typealias ConfigSchemaResponse = Hashicorp__Nomad__Plugins__Base__Proto__ConfigSchemaResponse
    package typealias SetConfigRequest = Hashicorp__Nomad__Plugins__Base__Proto__SetConfigRequest
    package typealias SetConfigResponse = Hashicorp__Nomad__Plugins__Base__Proto__SetConfigResponse
    typealias NomadConfig = Hashicorp__Nomad__Plugins__Base__Proto__NomadConfig
    typealias NomadDriverConfig = Hashicorp__Nomad__Plugins__Base__Proto__NomadDriverConfig
    package typealias ClientTopology = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopology
    typealias ClientTopologySLIT = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopologySLIT
    package typealias ClientTopologyCore = Hashicorp__Nomad__Plugins__Base__Proto__ClientTopologyCore
    package typealias Attribute = Hashicorp__Nomad__Plugins__Shared__Structs__Attribute
    package typealias RecoverableError = Hashicorp__Nomad__Plugins__Shared__Structs__RecoverableError
    typealias PluginType = Hashicorp__Nomad__Plugins__Base__Proto__PluginType
    typealias CoreGrade = Hashicorp__Nomad__Plugins__Base__Proto__CoreGrade
    typealias AttributeValueCase = Hashicorp__Nomad__Plugins__Shared__Structs__Attribute__ValueCase
}

extension Wire.PluginInfoRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__plugin_info_request__init(message)
    }
}
extension Wire.PluginInfoResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__plugin_info_response__init(message)
    }
}
extension Wire.ConfigSchemaRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__config_schema_request__init(message)
    }
}
extension Wire.ConfigSchemaResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__config_schema_response__init(message)
    }
}
extension Wire.SetConfigRequest: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__set_config_request__init(message)
    }
}
extension Wire.SetConfigResponse: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__set_config_response__init(message)
    }
}
extension Wire.NomadConfig: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__nomad_config__init(message)
    }
}
extension Wire.NomadDriverConfig: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__nomad_driver_config__init(message)
    }
}
extension Wire.ClientTopology: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology__init(message)
    }
}
extension Wire.ClientTopologySLIT: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology_slit__init(message)
    }
}
extension Wire.ClientTopologyCore: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__base__proto__client_topology_core__init(message)
    }
}
extension Wire.Attribute: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__structs__attribute__init(message)
    }
}
extension Wire.RecoverableError: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__structs__recoverable_error__init(message)
    }
}
