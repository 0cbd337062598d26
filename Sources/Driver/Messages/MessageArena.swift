import CMessages
import Glibc

/// The memory of a message that is being built: text, lists and submessages live until it goes.
///
///     let answer = Wire.PluginInfoResponse.encoded { message, arena in
///         message.name = arena.string("exec2")
///         (message.n_plugin_api_versions, message.plugin_api_versions) = arena.strings(["0.1.0"])
///     }
final class MessageArena {
    private var blocks: [UnsafeMutableRawPointer] = []
    private var borrowed: [AnyObject] = []

    deinit {
        for block in blocks { free(block) }
    }

    /// Zeroed memory for `count` elements, aligned for any C type; nil for none.
    private func allocate<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element>? {
        guard count > 0 else { return nil }
        guard let block = calloc(count, MemoryLayout<Element>.stride) else {
            preconditionFailure("out of memory: \(count) × \(Element.self)")
        }
        blocks.append(block)
        return block.bindMemory(to: Element.self, capacity: count)
    }

    /// Text for a string field. A NUL, which would end the text there, becomes U+FFFD.
    func string(_ text: String) -> UnsafeMutablePointer<CChar>? {
        var text = text
        if text.utf8.contains(0) {
            text = String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : $0 }))
        }
        let bytes = text.utf8CString
        let copy = allocate(CChar.self, bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            if let start = bytes.baseAddress { copy?.update(from: start, count: bytes.count) }
        }
        return copy
    }

    /// Content for a bytes field.
    func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
        let copy = allocate(UInt8.self, bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            if let start = bytes.baseAddress { copy?.update(from: start, count: bytes.count) }
        }
        return ProtobufCBinaryData(len: bytes.count, data: copy)
    }

    /// A submessage.
    func message<Message: WireMessage>(
        _ type: Message.Type, _ fill: (inout Message) -> Void = { _ in }
    ) -> UnsafeMutablePointer<Message>? {
        guard let message = allocate(type, 1) else { return nil }
        Message.initialize(message)
        fill(&message.pointee)
        return message
    }

    /// A message that was received, as a submessage of the one being built, without a copy. It must
    /// not be changed.
    func borrow<Message: WireMessage>(_ view: MessageView<Message>) -> UnsafeMutablePointer<Message>? {
        let (owner, pointer) = view.parts
        borrowed.append(owner)
        return UnsafeMutablePointer(mutating: pointer)
    }

    /// The two fields of a list of text.
    func strings(_ texts: [String]) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) {
        values(texts.map(string))
    }

    /// The two fields of a list of numbers, enums or pointers.
    func values<Value>(_ values: [Value]) -> (Int, UnsafeMutablePointer<Value>?) {
        let list = allocate(Value.self, values.count)
        for (index, value) in values.enumerated() { list?.advanced(by: index).initialize(to: value) }
        return (values.count, list)
    }

    /// The two fields of a list of messages, one for each of `elements`; also of a map, with the
    /// entry as the message.
    func messages<Message: WireMessage, Elements: Sequence>(
        _ type: Message.Type, _ elements: Elements, _ fill: (inout Message, Elements.Element) -> Void
    ) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<Message>?>?) {
        values(elements.map { element in message(type) { fill(&$0, element) } })
    }

    /// The two fields of a map of text to text, in the order of the keys.
    func stringMap<Entry: WireStringEntry>(
        _ type: Entry.Type, _ map: [String: String]
    ) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>?) {
        messages(type, map.sorted { $0.key < $1.key }) { entry, pair in
            entry.key = string(pair.key)
            entry.value = string(pair.value)
        }
    }
}

extension WireMessage {
    /// The packed bytes of a message that `fill` fills.
    static func encoded(_ fill: (inout Self, MessageArena) -> Void = { _, _ in }) -> [UInt8] {
        let arena = MessageArena()
        guard let message = arena.message(Self.self, { fill(&$0, arena) }) else { return [] }
        return withExtendedLifetime(arena) {
            let base = UnsafeRawPointer(message).assumingMemoryBound(to: ProtobufCMessage.self)
            let size = protobuf_c_message_get_packed_size(base)
            return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                count = size == 0 ? 0 : protobuf_c_message_pack(base, buffer.baseAddress)
            }
        }
    }
}
