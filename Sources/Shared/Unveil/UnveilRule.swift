/// One line of what a task may reach: `modes:path`, as in `r:/etc/mime.types`.
public struct UnveilRule: Equatable, Sendable {
    /// What is allowed.
    public let modes: AccessModes
    /// Absolute; neither normalised nor resolved: that is the kernel's part when the rule is opened at launch.
    public let path: String

    /// A rule of its two parts.
    public init(modes: AccessModes, path: String) {
        self.modes = modes
        self.path = path
    }

    /// Reads `modes:path`, split at the first colon, so that a path may have colons of its own.
    ///
    /// Modes are any of r, w, x and c, at least one, none twice. `~` is an ordinary character of a path.
    /// - Parameter directory: What a relative path is relative to; nil where only absolute paths are accepted.
    public init(parsing text: String, relativeTo directory: String? = nil) throws(UnveilRuleError) {
        let bytes = text.utf8
        guard let colon = bytes.firstIndex(of: 0x3A) else { throw UnveilRuleError(rule: text, problem: .noColon) }

        var modes: AccessModes = []
        for letter in text.unicodeScalars[..<colon] {
            guard let mode = AccessModes(letter: letter) else {
                throw UnveilRuleError(rule: text, problem: .unknownMode(letter))
            }
            guard modes.isDisjoint(with: mode) else {
                throw UnveilRuleError(rule: text, problem: .repeatedMode(letter))
            }
            modes.formUnion(mode)
        }
        if modes.isEmpty { throw UnveilRuleError(rule: text, problem: .noModes) }

        let path = bytes[bytes.index(after: colon)...]
        guard let first = path.first else { throw UnveilRuleError(rule: text, problem: .emptyPath) }
        if path.contains(0) { throw UnveilRuleError(rule: text, problem: .nulInPath) }
        let written = String(text[path.startIndex...])
        if first == 0x2F {
            self.init(modes: modes, path: written)
        } else if let directory {
            self.init(modes: modes, path: directory.utf8.last == 0x2F ? directory + written : directory + "/" + written)
        } else {
            throw UnveilRuleError(rule: text, problem: .relativePath)
        }
    }

    /// The rule in the form it is written in.
    public var text: String { modes.letters + ":" + path }

    /// Byte for byte: to the kernel, two spellings of one character in Unicode are two paths.
    public static func == (left: UnveilRule, right: UnveilRule) -> Bool {
        left.modes == right.modes && left.path.utf8.elementsEqual(right.path.utf8)
    }
}

/// Why the text of an unveil rule is none.
public struct UnveilRuleError: Error, Equatable, Sendable {
    /// What is wrong with a rule.
    public enum Problem: Equatable, Sendable {
        case noColon
        case noModes
        case unknownMode(Unicode.Scalar)
        case repeatedMode(Unicode.Scalar)
        case emptyPath
        case nulInPath
        case relativePath
    }

    /// The text as it was given.
    public let rule: String
    /// What is wrong with it.
    public let problem: Problem

    /// A rule's text and what is wrong with it.
    public init(rule: String, problem: Problem) {
        self.rule = rule
        self.problem = problem
    }

    /// Byte for byte: comparing text takes the Unicode tables.
    public static func == (left: UnveilRuleError, right: UnveilRuleError) -> Bool {
        left.problem == right.problem && left.rule.utf8.elementsEqual(right.rule.utf8)
    }

    /// What is wrong and what is allowed, without the text of the rule.
    public var reason: String {
        let form = "must be modes:path, modes being any of r (read), w (write), x (execute) and c (create)"
        switch problem {
        case .noColon:
            return "there is no colon: " + form + ", for example r:/etc/mime.types"
        case .noModes:
            return "there is no mode before the colon: " + form + ", for example r:/etc/mime.types"
        case .unknownMode(let letter):
            return quoted(String(Character(letter))) + " is not a mode: " + form
        case .repeatedMode(let letter):
            return "mode " + quoted(String(Character(letter))) + " is there twice: each mode at most once"
        case .emptyPath:
            return "there is no path after the colon: " + form + ", for example r:/etc/mime.types"
        case .nulInPath:
            return "the path has a NUL character, which no path can have"
        case .relativePath:
            return "the path must be absolute (begin with /; ~ is not expanded)"
        }
    }

    /// The sentence for a user: the rule, what is wrong with it and what is allowed.
    public var description: String { "unveil rule " + quoted(rule) + ": " + reason }
}
