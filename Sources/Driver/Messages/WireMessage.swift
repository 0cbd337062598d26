import CMessages

/// The messages of the wire under short names. They are protobuf-c's structs: read received ones
/// through `DecodedMessage` and `MessageView`, build new ones with `encoded` and `MessageArena`.
package enum Wire {
    /// The config schema's language (package hclspec).
    package enum HCL {}
    /// go-plugin's own services and gRPC's health service.
    package enum Plugin {}
    /// The well-known types.
    package enum Google {}
}

/// A message struct that protobuf-c generated.
package protocol WireMessage: SendableMetatype {
    var base: ProtobufCMessage { get set }
    /// Makes `message` an empty message: its descriptor, and every field's default.
    static func initialize(_ message: UnsafeMutablePointer<Self>)
}

/// An entry of a map<string, string>.
package protocol WireStringEntry: WireMessage {
    // The importer's types of the generated fields; a requirement of another type is not met by them.
    // swift-format-ignore: NeverUseImplicitlyUnwrappedOptionals
    var key: UnsafeMutablePointer<CChar>! { get set }
    // swift-format-ignore: NeverUseImplicitlyUnwrappedOptionals
    var value: UnsafeMutablePointer<CChar>! { get set }
}

extension WireMessage {
    /// The description of the message that its generated code uses itself. (The C constant cannot be
    /// used from Swift: its address there is that of a copy.)
    static func withDescriptor<Result, Failure: Error>(
        _ body: (UnsafePointer<ProtobufCMessageDescriptor>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let message = UnsafeMutablePointer<Self>.allocate(capacity: 1)
        defer { message.deallocate() }
        initialize(message)
        guard let descriptor = message.pointee.base.descriptor else {
            preconditionFailure("generated code without a descriptor: \(Self.self)")
        }
        return try body(descriptor)
    }
}

extension Bool {
    /// protobuf-c's boolean.
    package var wire: protobuf_c_boolean { self ? 1 : 0 }
}
