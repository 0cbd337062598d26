/// What one option of a configuration is, for the host that parses the HCL and for documents: its name, its type as a
/// type expression (`bool`, `number`, `string`, `list(string)`, `map(string)`), whether it must be given, and its
/// default as HCL text.
package struct OptionSchema: Equatable, Sendable {
    package let name: String
    let type: String
    package let required: Bool
    /// HCL text (`true`, `[]`, strings with their quotes), nil where an option that is not given stays unset.
    package let defaultLiteral: String?

    init(_ name: String, _ type: String, required: Bool = false, defaultLiteral: String? = nil) {
        self.name = name
        self.type = type
        self.required = required
        self.defaultLiteral = defaultLiteral
    }

    /// The type that the host is told.
    ///
    /// The agent hands a map over as a list of maps, however it is written: `map(string)` refuses each spelling. `any`
    /// takes all of them, and `OptionReader.textMap` tells which values are wrong.
    package var declaredType: String { type == "map(string)" ? "any" : type }
}
