import CMessages
import Glibc

/// Why bytes are not the message they should be: "StartTaskRequest.task.user contains a NUL byte".
package struct MessageError: Error, Sendable, CustomStringConvertible {
    var path: [String]
    let reason: String

    package var description: String { path.joined(separator: ".") + " " + reason }
}

/// Walks the bytes of a message, with its description in hand, before protobuf-c unpacks them. It
/// refuses what protobuf-c would accept and get wrong: text with NUL, which C would silently cut,
/// text that is not UTF-8, deep nesting (protobuf-c recurses without bound), a submessage given twice
/// (protobuf-c's merging of the two is code no honest sender exercises), and a flood of tiny fields.
struct MessageValidator {
    /// Messages within messages. The deepest honest one has 8.
    static let maximumDepth = 32
    /// protobuf-c spends up to about 130 bytes on a field of 2 bytes, so this bounds its memory to
    /// the size of the input plus about 130 MiB. Every entry of an environment counts 3.
    static let maximumFields = 1 << 20

    private enum WireType: UInt8 {
        case varint = 0
        case fixed64 = 1
        case lengthPrefixed = 2
        case fixed32 = 5
    }

    private var fields = 0
    /// Whether text need not be UTF-8.
    private let anyText: Bool

    private init(anyText: Bool) { self.anyText = anyText }

    static func validate(
        _ bytes: Span<UInt8>, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, anyText: Bool = false
    ) throws(MessageError) {
        var validator = MessageValidator(anyText: anyText)
        do throws(MessageError) {
            try validator.walk(bytes, 0..<bytes.count, descriptor, depth: 1)
        } catch {
            let name = String(cString: descriptor.pointee.short_name)
            throw MessageError(path: [name] + error.path, reason: error.reason)
        }
    }

    private mutating func walk(
        _ bytes: Span<UInt8>, _ range: Range<Int>,
        _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, depth: Int
    ) throws(MessageError) {
        guard depth <= Self.maximumDepth else {
            throw MessageError(path: [], reason: "is nested deeper than \(Self.maximumDepth) messages")
        }
        var position = range.lowerBound
        var seen: Set<UInt32> = []
        while position < range.upperBound {
            fields += 1
            guard fields <= Self.maximumFields else {
                throw MessageError(path: [], reason: "is part of a request with more than \(Self.maximumFields) fields")
            }
            let tag = try varint(bytes, &position, range.upperBound)
            let number = tag >> 3
            guard number > 0, number < 1 << 29 else {
                throw MessageError(path: [], reason: "has a field with the impossible number \(number)")
            }
            guard let wire = WireType(rawValue: UInt8(tag & 7)) else {
                throw MessageError(path: [], reason: "has a field \(number) of the unknown wire type \(tag & 7)")
            }
            let content = try skip(bytes, &position, range.upperBound, wire, number)
            guard let field = protobuf_c_message_descriptor_get_field(descriptor, UInt32(number)) else { continue }
            do throws(MessageError) {
                if field.pointee.type == PROTOBUF_C_TYPE_MESSAGE, field.pointee.label != PROTOBUF_C_LABEL_REPEATED,
                    !seen.insert(field.pointee.id).inserted
                {
                    throw MessageError(path: [], reason: "is given twice")
                }
                try check(bytes, content, field, wire, depth: depth)
            } catch {
                throw MessageError(path: [String(cString: field.pointee.name)] + error.path, reason: error.reason)
            }
        }
    }

    private mutating func check(
        _ bytes: Span<UInt8>, _ content: Range<Int>, _ field: UnsafePointer<ProtobufCFieldDescriptor>, _ wire: WireType,
        depth: Int
    ) throws(MessageError) {
        let expected = Self.wire(of: field.pointee.type)
        let packed = field.pointee.label == PROTOBUF_C_LABEL_REPEATED && wire == .lengthPrefixed
        guard wire == expected || packed else {
            throw MessageError(path: [], reason: "has wire type \(wire.rawValue) instead of \(expected.rawValue)")
        }
        switch field.pointee.type {
        case PROTOBUF_C_TYPE_STRING:
            try checkText(bytes.extracting(content))
        case PROTOBUF_C_TYPE_MESSAGE:
            guard let descriptor = field.pointee.descriptor else { return }
            try walk(
                bytes, content, descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self), depth: depth + 1)
        default:
            break
        }
    }

    private func checkText(_ text: Span<UInt8>) throws(MessageError) {
        let hasNUL = text.withUnsafeBytes { bytes in
            bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false
        }
        if hasNUL { throw MessageError(path: [], reason: "contains a NUL byte") }
        if anyText { return }
        do {
            _ = try UTF8Span(validating: text)
        } catch {
            throw MessageError(path: [], reason: "is not valid UTF-8")
        }
    }

    /// Steps over a field's content and answers where it lies (without its length).
    private func skip(
        _ bytes: Span<UInt8>, _ position: inout Int, _ end: Int, _ wire: WireType, _ number: UInt64
    ) throws(MessageError) -> Range<Int> {
        let length: UInt64
        switch wire {
        case .varint:
            let start = position
            _ = try varint(bytes, &position, end)
            return start..<position
        case .fixed64: length = 8
        case .fixed32: length = 4
        case .lengthPrefixed: length = try varint(bytes, &position, end)
        }
        guard length <= UInt64(end - position) else {
            throw MessageError(
                path: [], reason: "is cut short: field \(number) needs \(length) bytes and \(end - position) are left")
        }
        let start = position
        position += Int(length)
        return start..<position
    }

    private func varint(_ bytes: Span<UInt8>, _ position: inout Int, _ end: Int) throws(MessageError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < end else { throw MessageError(path: [], reason: "is cut short within a number") }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw MessageError(path: [], reason: "has a number of more than ten bytes")
    }

    private static func wire(of type: ProtobufCType) -> WireType {
        switch type {
        case PROTOBUF_C_TYPE_SFIXED32, PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_FLOAT: .fixed32
        case PROTOBUF_C_TYPE_SFIXED64, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_DOUBLE: .fixed64
        case PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_BYTES, PROTOBUF_C_TYPE_MESSAGE: .lengthPrefixed
        default: .varint
        }
    }
}
