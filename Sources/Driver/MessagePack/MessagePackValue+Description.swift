import Shared

extension MessagePackValue: CustomStringConvertible {
    /// The value as a user would have written it in HCL, cut to a length that an error message can bear.
    package var description: String {
        var text = ""
        write(to: &text, budget: 160)
        return text
    }

    private func write(to text: inout String, budget: Int) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let value): text += "\(value)"
        case .uint(let value): text += "\(value)"
        case .float(let value): text += "\(value)"
        case .string(let bytes), .binary(let bytes):
            if let value = String(validating: bytes, as: UTF8.self) {
                text += quoted(value, limit: 80)
            } else {
                text += "(\(bytes.count) bytes that are not UTF-8)"
            }
        case .array(let items):
            text += "["
            for (index, item) in items.enumerated() {
                if index > 0 { text += ", " }
                if text.utf8.count > budget {
                    text += "…"
                    break
                }
                item.write(to: &text, budget: budget)
            }
            text += "]"
        case .map(let pairs):
            text += "{"
            for (index, pair) in pairs.enumerated() {
                text += index > 0 ? ", " : ""
                if text.utf8.count > budget {
                    text += "…"
                    break
                }
                pair.key.write(to: &text, budget: budget)
                text += " = "
                pair.value.write(to: &text, budget: budget)
            }
            text += "}"
        case .ext(let type, let data): text += "(MessagePack extension \(type), \(data.count) bytes)"
        }
    }
}
