import Shared

/// One record of the kernel's audit log about a Landlock domain, that is, about the sandbox of one task or command.
///
/// Paths and names in records are chosen by the task: they are bytes here, and quoted wherever they are shown.
package enum LandlockRecord: Equatable, Sendable {
    /// AUDIT_LANDLOCK_ACCESS: something was denied.
    case access(domain: UInt64, LandlockDenial)
    /// AUDIT_LANDLOCK_DOMAIN, once for each domain, with its first denial: which process has made it, and what that was
    /// called then (`comm`).
    case domain(UInt64, creator: Int32, name: [UInt8])
    /// The same, when no process is left in the domain.
    case ended(domain: UInt64)

    /// What a record's type is, as in its header.
    package enum Kind: Sendable { case access, domain }

    /// - Parameter text: `audit(1796051089.769:34): domain=1191ef44e blockers=…`: words with a value each, none of which
    ///   has a blank in it.
    package init?(_ kind: Kind, text: [UInt8]) {
        let fields = AuditFields(text)
        guard let domain = fields.hexadecimal("domain") else { return nil }
        switch kind {
        case .access:
            guard let denial = LandlockDenial(fields) else { return nil }
            self = .access(domain: domain, denial)
        case .domain:
            if fields.plain("status") == "deallocated" {
                self = .ended(domain: domain)
                return
            }
            guard fields.plain("status") == "allocated", let pid = fields.number("pid", as: Int32.self), pid > 0 else {
                return nil
            }
            self = .domain(domain, creator: pid, name: fields.untrusted("comm") ?? [])
        }
    }
}

/// The fields of a record.
struct AuditFields {
    private let words: [ArraySlice<UInt8>]

    init(_ text: [UInt8]) {
        words = text.split { $0 == UInt8(ascii: " ") || $0 == 0 || $0 == UInt8(ascii: "\n") }
    }

    /// The first one of that name: the kernel writes its own before what others choose.
    private func value(_ name: String) -> ArraySlice<UInt8>? {
        let start = Array((name + "=").utf8)
        return words.first { $0.starts(with: start) }?.dropFirst(start.count)
    }

    func plain(_ name: String) -> String? { value(name).map { String(decoding: $0, as: UTF8.self) } }

    func number<Number: FixedWidthInteger>(_ name: String, as type: Number.Type) -> Number? {
        plain(name).flatMap { Number($0) }
    }

    func hexadecimal(_ name: String) -> UInt64? {
        guard let text = plain(name), let first = text.utf8.first, first != UInt8(ascii: "+") else { return nil }
        return UInt64(text, radix: 16)
    }

    /// What somebody else chose: in double quotes, or in hexadecimal digits where it has a quote, a blank or a control
    /// character in it, or a byte above 126.
    func untrusted(_ name: String) -> [UInt8]? {
        guard let value = value(name) else { return nil }
        let quote = UInt8(ascii: "\"")
        if value.first == quote {
            return value.count > 1 && value.last == quote ? Array(value.dropFirst().dropLast()) : nil
        }
        guard value.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        var rest = value
        while let high = rest.popFirst(), let low = rest.popFirst() {
            guard let high = Self.nibble(high), let low = Self.nibble(low) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}
