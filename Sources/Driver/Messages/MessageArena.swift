import CMessages
import Glibc
import Shared

/// The memory of a message that is being built: text, lists and submessages live until it goes.
///
///     let answer = Wire.PluginInfoResponse.encoded { message, arena in
///         message.name = arena.string("exec2")
///         message[.pluginApiVersions] = arena.strings(["0.1.0"])
///     }
package final class MessageArena {
    /// Most messages fit in one block.
    private static let blockSize = 2048

    private var blocks: [UnsafeMutableRawPointer] = []
    /// What is left of the last block, zeroed.
    private var rest = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var borrowed: [AnyObject] = []
    /// Whether text stands for bytes (`ByteText`), which then need not be UTF-8.
    private let holdsByteText: Bool

    init(byteText: Bool = false) { holdsByteText = byteText }

    deinit {
        for block in blocks { free(block) }
    }

    /// Zeroed memory for `count` elements, aligned for any C type; nil for none.
    private func allocate<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element>? {
        guard count > 0 else { return nil }
        return allocate(count, MemoryLayout<Element>.stride).bindMemory(to: Element.self, capacity: count)
    }

    private func allocate(_ count: Int, _ stride: Int) -> UnsafeMutableRawPointer {
        let (size, overflow) = count.multipliedReportingOverflow(by: stride)
        // What malloc(3) aligns to suits every type, so a part that is a multiple of it does too.
        if !overflow, size <= Self.blockSize / 4, case let rounded = (size + 15) & ~15 {
            if rounded > rest.count {
                rest = UnsafeMutableRawBufferPointer(start: block(1, Self.blockSize), count: Self.blockSize)
            }
            guard let start = rest.baseAddress else { preconditionFailure("a block is empty") }
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[rounded...])
            return start
        }
        return block(count, stride)
    }

    private func block(_ count: Int, _ stride: Int) -> UnsafeMutableRawPointer {
        guard let block = calloc(count, stride) else { preconditionFailure("out of memory: \(count) × \(stride)") }
        blocks.append(block)
        return block
    }

    /// Text for a string field. A NUL, which would end the text there, becomes U+FFFD.
    package func string(_ text: String) -> UnsafeMutablePointer<CChar>? {
        if holdsByteText {
            let bytes = ByteText.bytes(text)
            if let copy = bytes.withUnsafeBufferPointer({ copy(ofUTF8: $0) }) { return copy }
        }
        var text = text
        if let copy = text.withUTF8({ copy(ofUTF8: $0) }) { return copy }
        text = String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : $0 }))
        return text.withUTF8 { copy(ofUTF8: $0) }
    }

    /// With a NUL behind it; nil where there is one in it.
    private func copy(ofUTF8 text: UnsafeBufferPointer<UInt8>) -> UnsafeMutablePointer<CChar>? {
        guard let start = text.baseAddress else { return allocate(CChar.self, 1) }
        guard memchr(start, 0, text.count) == nil else { return nil }
        let copy = allocate(CChar.self, text.count + 1)
        copy.map { _ = memcpy($0, start, text.count) }
        return copy
    }

    /// Content for a bytes field.
    package func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
        let copy = allocate(UInt8.self, bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            if let start = bytes.baseAddress { copy?.update(from: start, count: bytes.count) }
        }
        return ProtobufCBinaryData(len: bytes.count, data: copy)
    }

    /// A submessage.
    package func message<Message: WireMessage>(
        _ type: Message.Type, _ fill: (inout Message) -> Void = { _ in }
    ) -> UnsafeMutablePointer<Message>? {
        guard let message = allocate(type, 1) else { return nil }
        Message.initialize(message)
        fill(&message.pointee)
        return message
    }

    /// A message that was received, as a submessage of the one being built, without a copy. It must
    /// not be changed.
    package func borrow<Message: WireMessage>(_ view: MessageView<Message>) -> UnsafeMutablePointer<Message>? {
        let (owner, pointer) = view.parts
        borrowed.append(owner)
        return UnsafeMutablePointer(mutating: pointer)
    }

    /// A list of text.
    package func strings(_ texts: [String]) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?> {
        values(texts.map(string))
    }

    /// A list of numbers, enums or pointers.
    package func values<Value>(_ values: [Value]) -> UnsafeMutableBufferPointer<Value> {
        self.values(Value.self, atMost: values.count) { add in values.forEach(add) }
    }

    /// The same for values that `fill` adds one by one, at most so many.
    package func values<Value>(
        _ type: Value.Type, atMost capacity: Int, _ fill: (_ add: (Value) -> Void) -> Void
    ) -> UnsafeMutableBufferPointer<Value> {
        let list = allocate(type, capacity)
        var count = 0
        fill { value in
            precondition(count < capacity, "more than \(capacity) values")
            list?.advanced(by: count).initialize(to: value)
            count += 1
        }
        return UnsafeMutableBufferPointer(start: list, count: count)
    }

    /// A list of messages, one for each of `elements`; also a map, with the entry as the message.
    package func messages<Message: WireMessage, Elements: Sequence>(
        _ type: Message.Type, _ elements: Elements, _ fill: (inout Message, Elements.Element) -> Void
    ) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Message>?> {
        values(elements.map { element in message(type) { fill(&$0, element) } })
    }

    /// A map of text to text, in the order of the keys.
    package func stringMap<Entry: WireStringEntry>(
        _ type: Entry.Type, _ map: [String: String]
    ) -> UnsafeMutableBufferPointer<UnsafeMutablePointer<Entry>?> {
        messages(type, map.sorted { $0.key < $1.key }) { entry, pair in
            entry.key = string(pair.key)
            entry.value = string(pair.value)
        }
    }
}

extension WireMessage {
    /// The packed bytes of a message that `fill` fills.
    /// - Parameter byteText: Whether text stands for bytes (`ByteText`).
    package static func encoded(
        byteText: Bool = false, _ fill: (inout Self, MessageArena) -> Void = { _, _ in }
    ) -> [UInt8] {
        let arena = MessageArena(byteText: byteText)
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
