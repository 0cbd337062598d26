import MessagePack
import Shared

/// Whose configuration an error is about.
enum ConfigurationScope: String, Sendable {
    /// The plugin's block in the agent's configuration.
    case plugin = "plugin config"
    /// The task's config block in a job.
    case task = "task config"
}

/// A configuration that cannot be used: which option, the value it has, and what is allowed.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    enum Problem: Equatable, Sendable {
        case malformed(MessagePackError)
        /// The whole configuration is not a map.
        case notAMap(found: String)
        /// The name of an option is not text.
        case nameNotText(found: String)
        case missing(option: String, requirement: String)
        /// - `item`: counted from 1, where it is one item of a list that is wrong.
        case invalid(option: String, item: Int?, value: String, requirement: String)
    }

    let scope: ConfigurationScope
    let problem: Problem

    package var description: String {
        let what =
            switch problem {
            case .malformed(let error): "not valid MessagePack: \(error)"
            case .notAMap(let found): "is \(found): must be a map of options"
            case .nameNotText(let found): "has an option named \(found): names must be text"
            case .missing(let option, let requirement): "option \(quoted(option)) is missing: \(requirement)"
            case .invalid(let option, nil, let value, let requirement):
                "option \(quoted(option)) is \(value): \(requirement)"
            case .invalid(let option, .some(let item), let value, let requirement):
                "option \(quoted(option)), item \(item), is \(value): \(requirement)"
            }
        return "\(scope.rawValue): \(what)"
    }
}
