import CMessages

// hashicorp.nomad.plugins.shared.hclspec.

extension Wire.HCL {
    package typealias Spec = Hashicorp__Nomad__Plugins__Shared__Hclspec__Spec
    package typealias Attr = Hashicorp__Nomad__Plugins__Shared__Hclspec__Attr
    typealias Block = Hashicorp__Nomad__Plugins__Shared__Hclspec__Block
    typealias BlockAttrs = Hashicorp__Nomad__Plugins__Shared__Hclspec__BlockAttrs
    typealias BlockList = Hashicorp__Nomad__Plugins__Shared__Hclspec__BlockList
    typealias BlockSet = Hashicorp__Nomad__Plugins__Shared__Hclspec__BlockSet
    typealias BlockMap = Hashicorp__Nomad__Plugins__Shared__Hclspec__BlockMap
    package typealias Literal = Hashicorp__Nomad__Plugins__Shared__Hclspec__Literal
    package typealias Default = Hashicorp__Nomad__Plugins__Shared__Hclspec__Default
    package typealias ObjectAttributesEntry = Hashicorp__Nomad__Plugins__Shared__Hclspec__Object__AttributesEntry
    package typealias Object = Hashicorp__Nomad__Plugins__Shared__Hclspec__Object
    typealias Array = Hashicorp__Nomad__Plugins__Shared__Hclspec__Array
    typealias SpecBlockCase = Hashicorp__Nomad__Plugins__Shared__Hclspec__Spec__BlockCase
}

extension Wire.HCL.Spec: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__spec__init(message)
    }
}
extension Wire.HCL.Attr: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__attr__init(message)
    }
}
extension Wire.HCL.Block: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__block__init(message)
    }
}
extension Wire.HCL.BlockAttrs: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__block_attrs__init(message)
    }
}
extension Wire.HCL.BlockList: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__block_list__init(message)
    }
}
extension Wire.HCL.BlockSet: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__block_set__init(message)
    }
}
extension Wire.HCL.BlockMap: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__block_map__init(message)
    }
}
extension Wire.HCL.Literal: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__literal__init(message)
    }
}
extension Wire.HCL.Default: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__default__init(message)
    }
}
extension Wire.HCL.ObjectAttributesEntry: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__object__attributes_entry__init(message)
    }
}
extension Wire.HCL.Object: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__object__init(message)
    }
}
extension Wire.HCL.Array: WireMessage {
    package static func initialize(_ message: UnsafeMutablePointer<Self>) {
        hashicorp__nomad__plugins__shared__hclspec__array__init(message)
    }
}
