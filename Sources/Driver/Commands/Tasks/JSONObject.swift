import Shared

/// One object of JSON (RFC 8259) on a line, its members in the order in which they were added.
struct JSONObject: Sendable {
    private var members: [String] = []

    var text: String { "{" + members.joined(separator: ", ") + "}" }

    mutating func add(_ name: String, _ value: String?) { add(name, raw: value.map(JSONString.quoted)) }
    mutating func add(_ name: String, _ value: Bool) { add(name, raw: value ? "true" : "false") }
    mutating func add(_ name: String, _ value: (some BinaryInteger)?) { add(name, raw: value.map { String($0) }) }

    /// An array, one object on a line.
    mutating func add(_ name: String, _ objects: [JSONObject]) {
        let lines = objects.map { "  " + $0.text }.joined(separator: ",\n")
        add(name, raw: objects.isEmpty ? "[]" : "[\n\(lines)\n]")
    }

    private mutating func add(_ name: String, raw value: String?) {
        members.append(JSONString.quoted(name) + ": " + (value ?? "null"))
    }
}
