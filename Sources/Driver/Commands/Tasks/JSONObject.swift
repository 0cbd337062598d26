/// One object of JSON (RFC 8259) on a line, its members in the order in which they were added.
struct JSONObject: Sendable {
    private var members: [String] = []

    var text: String { "{" + members.joined(separator: ", ") + "}" }

    mutating func add(_ name: String, _ value: String?) { add(name, raw: value.map(Self.string)) }
    mutating func add(_ name: String, _ value: Bool) { add(name, raw: value ? "true" : "false") }
    mutating func add(_ name: String, _ value: (some BinaryInteger)?) { add(name, raw: value.map { String($0) }) }

    /// An array, one object on a line.
    mutating func add(_ name: String, _ objects: [JSONObject]) {
        let lines = objects.map { "  " + $0.text }.joined(separator: ",\n")
        add(name, raw: objects.isEmpty ? "[]" : "[\n\(lines)\n]")
    }

    private mutating func add(_ name: String, raw value: String?) {
        members.append(Self.string(name) + ": " + (value ?? "null"))
    }

    static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += #"\""#
            case "\\": result += #"\\"#
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += #"\u"# + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
