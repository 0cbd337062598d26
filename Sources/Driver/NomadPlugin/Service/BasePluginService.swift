import CMessages
import EventLoop
import GRPCServer
import HCLog
import Messages
import Planning
import Shared
import Supervision

/// hashicorp.nomad.plugins.base.proto.BasePlugin: who the plugin is, and its configuration.
struct BasePluginService: Sendable {
    private static let prefix = "/hashicorp.nomad.plugins.base.proto.BasePlugin/"

    let settings: DriverSettings
    /// Called after each SetConfig that took effect.
    let configured: @Sendable () -> Void
    let log: Logger

    func register(on server: RPCServer) {
        server.register(Self.prefix + "PluginInfo", .unary(Wire.PluginInfoRequest.self) { _ in Self.info() })
        server.register(
            Self.prefix + "ConfigSchema",
            .unary(Wire.ConfigSchemaRequest.self) { _ in
                Wire.ConfigSchemaResponse.encoded { $0.spec = $1.schema(PluginConfiguration.schema) }
            })
        server.register(
            Self.prefix + "SetConfig", runsOn: BlockingPool.shared,
            .unary(Wire.SetConfigRequest.self) {
                (request) throws(RPCStatus) in try setConfig(request)
            })
    }

    private static func info() -> [UInt8] {
        Wire.PluginInfoResponse.encoded { message, arena in
            message.type = HASHICORP__NOMAD__PLUGINS__BASE__PROTO__PLUGIN_TYPE__DRIVER
            message[.pluginApiVersions] = arena.strings(["0.1.0"])
            message.plugin_version = arena.string(driverVersion)
            message.name = arena.string("exec2")
        }
    }

    /// Called once without the client's part when only the schema is being checked: then the
    /// configuration is checked and nothing is set.
    private func setConfig(_ request: MessageView<Wire.SetConfigRequest>) throws(RPCStatus) -> [UInt8] {
        let configuration: PluginConfiguration
        do throws(ConfigurationError) {
            configuration = try PluginConfiguration(messagePack: request.msgpack_config)
        } catch {
            throw error.status
        }
        if let driver = request.nomad_config?.driver {
            settings.set(configuration, ClientTopology(driver.topology))
            configured()
            log.debug(
                "configured",
                [
                    "unveil_defaults": configuration.unveilDefaults, "unveil_by_task": configuration.unveilByTask,
                    "unveil_paths": configuration.unveilPaths.count, "state_dir": configuration.stateDirectory,
                ])
        }
        return Wire.SetConfigResponse.encoded()
    }
}

extension MessageArena {
    /// Options as the hclspec object that the client parses HCL by.
    func schema(_ options: [OptionSchema]) -> UnsafeMutablePointer<Wire.HCL.Spec>? {
        message(Wire.HCL.Spec.self) { spec in
            spec.block_case = HASHICORP__NOMAD__PLUGINS__SHARED__HCLSPEC__SPEC__BLOCK_OBJECT
            spec.object = message(Wire.HCL.Object.self) { object in
                object[.attributes] = messages(Wire.HCL.ObjectAttributesEntry.self, options) {
                    entry, option in
                    entry.key = string(option.name)
                    entry.value = self.option(option)
                }
            }
        }
    }

    private func option(_ option: OptionSchema) -> UnsafeMutablePointer<Wire.HCL.Spec>? {
        let attribute = message(Wire.HCL.Spec.self) { spec in
            spec.block_case = HASHICORP__NOMAD__PLUGINS__SHARED__HCLSPEC__SPEC__BLOCK_ATTR
            spec.attr = message(Wire.HCL.Attr.self) { attribute in
                attribute.name = string(option.name)
                attribute.type = string(option.declaredType)
                attribute.required = option.required.wire
            }
        }
        guard let text = option.defaultLiteral else { return attribute }
        return message(Wire.HCL.Spec.self) { spec in
            spec.block_case = HASHICORP__NOMAD__PLUGINS__SHARED__HCLSPEC__SPEC__BLOCK_DEFAULT
            spec.default_ = message(Wire.HCL.Default.self) { fallback in
                fallback.primary = attribute
                fallback.default_ = message(Wire.HCL.Spec.self) { literal in
                    literal.block_case = HASHICORP__NOMAD__PLUGINS__SHARED__HCLSPEC__SPEC__BLOCK_LITERAL
                    literal.literal = message(Wire.HCL.Literal.self) { $0.value = string(text) }
                }
            }
        }
    }
}
