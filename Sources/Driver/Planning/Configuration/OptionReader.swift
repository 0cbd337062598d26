import MessagePack

/// The options of one configuration, taken from MessagePack by name and type.
///
/// No bytes at all, or nil, are a configuration without options. An option that is nil is not given. Options that this
/// release does not know are ignored, so that a newer host may send more.
struct OptionReader {
    let scope: ConfigurationScope
    private var values: [String: MessagePackValue] = [:]

    init(_ scope: ConfigurationScope, messagePack bytes: [UInt8]) throws(ConfigurationError) {
        self.scope = scope
        if bytes.isEmpty { return }
        let value: MessagePackValue
        do {
            value = try MessagePackDecoder.decode(bytes)
        } catch {
            throw ConfigurationError(scope: scope, problem: .malformed(error))
        }
        switch value {
        case .null: return
        case .map(let pairs):
            for pair in pairs {
                guard let name = pair.key.text else {
                    throw ConfigurationError(scope: scope, problem: .nameNotText(found: pair.key.description))
                }
                values[name] = pair.value
            }
        default: throw ConfigurationError(scope: scope, problem: .notAMap(found: value.description))
        }
    }

    func bool(_ option: String) throws(ConfigurationError) -> Bool? {
        guard let value = given(option) else { return nil }
        guard case .bool(let bool) = value else {
            throw invalid(option, value.description, "must be true or false")
        }
        return bool
    }

    /// - Parameter requirement: What the option must be, for the error.
    func text(_ option: String, requirement: String) throws(ConfigurationError) -> String? {
        guard let value = given(option) else { return nil }
        return try text(of: value, option, item: nil, requirement: requirement)
    }

    func texts(_ option: String) throws(ConfigurationError) -> [String]? {
        guard let value = given(option) else { return nil }
        guard case .array(let items) = value else {
            throw invalid(option, value.description, "must be a list of strings")
        }
        var texts: [String] = []
        for (index, item) in items.enumerated() {
            texts.append(try text(of: item, option, item: index + 1, requirement: "must be text"))
        }
        return texts
    }

    /// - Parameter orAbove: Whether more than the largest is the caller's to judge.
    func wholeNumber(
        _ option: String, in range: ClosedRange<Int64>, orAbove: Bool = false
    ) throws(ConfigurationError) -> Int64? {
        guard let value = given(option) else { return nil }
        guard let number = value.wholeNumber, range.contains(number) || orAbove && number > range.upperBound else {
            throw invalid(option, value.description, Self.requirement(range))
        }
        return number
    }

    /// What a number outside of a range should have been.
    static func requirement(_ range: ClosedRange<Int64>) -> String {
        "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
    }

    /// TCP ports; an empty list is not the same as none given.
    func ports(_ option: String) throws(ConfigurationError) -> [UInt16]? {
        guard let value = given(option) else { return nil }
        guard case .array(let items) = value else {
            throw invalid(option, value.description, "must be a list of port numbers")
        }
        var ports: [UInt16] = []
        for (index, item) in items.enumerated() {
            guard let port = item.wholeNumber.flatMap({ UInt16(exactly: $0) }) else {
                throw invalid(
                    option, item: index + 1, item.description,
                    "must be a port: a whole number from 0 to 65535, where 0 is a port of the kernel's choice")
            }
            ports.append(port)
        }
        return ports
    }

    /// Names and texts, whole numbers as texts.
    ///
    /// A map that is set, a block and a list of maps all arrive as a list of maps; a job in JSON may have a map
    /// itself. Several maps or blocks add up. A name with nil is not given.
    func textMap(_ option: String) throws(ConfigurationError) -> [(name: String, value: String)]? {
        guard let value = given(option) else { return nil }
        let requirement = "must be a map of strings, or a block"
        let maps: [MessagePackValue]
        switch value {
        case .map: maps = [value]
        case .array(let items): maps = items
        default: throw invalid(option, value.description, requirement)
        }
        var result: [(name: String, value: String)] = []
        for (index, map) in maps.enumerated() {
            guard case .map(let pairs) = map else {
                throw invalid(option, item: index + 1, map.description, requirement)
            }
            for pair in pairs where pair.value != .null {
                guard let name = pair.key.text, let text = pair.value.text ?? pair.value.wholeNumber.map({ "\($0)" })
                else {
                    throw invalid(
                        option, "\(pair.key) = \(pair.value)", "the name must be text, the value text or a whole number"
                    )
                }
                result.append((name, text))
            }
        }
        return result
    }

    /// The error for an option whose value has the right type and is wrong all the same.
    func invalid(
        _ option: String, item: Int? = nil, _ value: String, _ requirement: String
    ) -> ConfigurationError {
        ConfigurationError(
            scope: scope,
            problem: .invalid(option: option, item: item, value: value, requirement: requirement))
    }

    private func given(_ option: String) -> MessagePackValue? {
        if let value = values[option], value != .null { value } else { nil }
    }

    private func text(
        of value: MessagePackValue, _ option: String, item: Int?, requirement: String
    ) throws(ConfigurationError) -> String {
        guard let text = value.text else {
            throw invalid(option, item: item, value.description, requirement)
        }
        // Where the text ends up, in a path or an argument of execve, it would end at the NUL.
        if text.utf8.contains(0) {
            throw invalid(option, item: item, value.description, "must not have a NUL character in it")
        }
        return text
    }
}
