import CMessages
import Shared

/// A received message, owner of the C structs that protobuf-c unpacked.
///
/// `@unchecked Sendable`: nothing writes to the structs after `init`, and they are freed once, with the last
/// reference to this object.
package final class DecodedMessage<Message: WireMessage>: @unchecked Sendable {
    fileprivate let pointer: UnsafePointer<Message>

    /// Checks and unpacks `bytes`. An empty array is an empty message.
    /// - Parameter anyText: Text need not be UTF-8: see `MessageView.byteTexts`.
    package init(_ bytes: [UInt8], anyText: Bool = false) throws(MessageError) {
        pointer = try Message.withDescriptor { (descriptor) throws(MessageError) in
            try MessageValidator.validate(bytes.span, descriptor, anyText: anyText)
            let unpacked = bytes.withUnsafeBufferPointer {
                protobuf_c_message_unpack(descriptor, nil, $0.count, $0.baseAddress)
            }
            guard let unpacked else {
                throw MessageError(path: [String(cString: descriptor.pointee.short_name)], reason: "is malformed")
            }
            return UnsafePointer(UnsafeRawPointer(unpacked).assumingMemoryBound(to: Message.self))
        }
    }

    deinit {
        protobuf_c_message_free_unpacked(
            UnsafeMutableRawPointer(mutating: pointer).assumingMemoryBound(to: ProtobufCMessage.self), nil)
    }

    /// The message to read from.
    package var root: MessageView<Message> { MessageView(owner: self, pointer: pointer) }
}

/// A received message or submessage, by the names of its fields: text as `String`, bytes as
/// `[UInt8]`, numbers and enums as they are, and a submessage as an optional view, because an absent
/// one has no address. Lists and maps are named by their `RepeatedField`: see `strings`, `messages`, `values`
/// and `stringMap`; booleans: `isSet`. A raw pointer never comes out.
///
/// `@unchecked Sendable`: points into the structs of `owner`, which never change and live as long.
@dynamicMemberLookup
package struct MessageView<Message: WireMessage>: @unchecked Sendable {
    @usableFromInline
    let owner: AnyObject
    @usableFromInline
    let pointer: UnsafePointer<Message>

    @inlinable
    init(owner: AnyObject, pointer: UnsafePointer<Message>) {
        self.owner = owner
        self.pointer = pointer
    }

    @inlinable
    package subscript(dynamicMember field: KeyPath<Message, UnsafeMutablePointer<CChar>?>) -> String {
        pointer.pointee[keyPath: field].map { String(cString: $0) } ?? ""
    }

    @inlinable
    package subscript(dynamicMember field: KeyPath<Message, ProtobufCBinaryData>) -> [UInt8] {
        let data = pointer.pointee[keyPath: field]
        return Array(UnsafeBufferPointer(start: data.data, count: data.data == nil ? 0 : data.len))
    }

    @inlinable
    package subscript<Submessage: WireMessage>(
        dynamicMember field: KeyPath<Message, UnsafeMutablePointer<Submessage>?>
    ) -> MessageView<Submessage>? {
        pointer.pointee[keyPath: field].map { MessageView<Submessage>(owner: owner, pointer: UnsafePointer($0)) }
    }

    @inlinable
    package subscript<Value: WireScalar>(dynamicMember field: KeyPath<Message, Value>) -> Value {
        pointer.pointee[keyPath: field]
    }

    /// An enum; a value that is not among its cases is possible.
    @inlinable
    package subscript<Value: RawRepresentable>(dynamicMember field: KeyPath<Message, Value>) -> Value
    where Value.RawValue: FixedWidthInteger {
        pointer.pointee[keyPath: field]
    }

    /// A boolean field.
    @inlinable
    package func isSet(_ field: KeyPath<Message, protobuf_c_boolean>) -> Bool {
        pointer.pointee[keyPath: field] != 0
    }

    /// A list of text: `strings(.servers)`.
    @inlinable
    package func strings(_ field: RepeatedField<Message, UnsafeMutablePointer<CChar>?>) -> [String] {
        pointer.pointee[field].map { $0.map { String(cString: $0) } ?? "" }
    }

    /// The same, with the bytes as they are (`ByteText`).
    package func byteTexts(_ field: RepeatedField<Message, UnsafeMutablePointer<CChar>?>) -> [String] {
        pointer.pointee[field].map { $0.map { ByteText.text(cString: $0) } ?? "" }
    }

    /// A list of messages: `messages(.mounts)`.
    @inlinable
    package func messages<Element: WireMessage>(
        _ field: RepeatedField<Message, UnsafeMutablePointer<Element>?>
    ) -> [MessageView<Element>] {
        pointer.pointee[field].compactMap { element in
            element.map { MessageView<Element>(owner: owner, pointer: UnsafePointer($0)) }
        }
    }

    /// A list of numbers or enums: `values(.groups)`.
    func values<Element>(_ field: RepeatedField<Message, Element>) -> [Element] {
        Array(pointer.pointee[field])
    }

    /// A map of text to text: `stringMap(.env)`; of a key given twice the last counts.
    @inlinable
    package func stringMap<Entry: WireStringEntry>(
        _ field: RepeatedField<Message, UnsafeMutablePointer<Entry>?>
    ) -> [String: String] {
        var map: [String: String] = [:]
        for case .some(let entry) in pointer.pointee[field] {
            let key = entry.pointee.key.map { String(cString: $0) } ?? ""
            map[key] = entry.pointee.value.map { String(cString: $0) } ?? ""
        }
        return map
    }

    /// For `MessageArena.borrow`.
    package var parts: (owner: AnyObject, pointer: UnsafePointer<Message>) { (owner, pointer) }
}

/// A number of a message.
package protocol WireScalar {}
extension Int32: WireScalar {}
extension Int64: WireScalar {}
extension UInt32: WireScalar {}
extension UInt64: WireScalar {}
extension Double: WireScalar {}
