/// One line of what a task may reach: `modes:path`, as in `r:/etc/mime.types`, or `modes?:path` where the path may be
/// missing.
public struct UnveilRule: Equatable, Sendable {
    /// What is allowed.
    public let modes: AccessModes
    /// Absolute; neither normalised nor resolved: that is the kernel's part when the rule is opened at launch.
    public let path: String
    /// Whether the rule is left out where its path does not exist.
    public let isOptional: Bool

    /// A rule of its parts.
    public init(modes: AccessModes, path: String, isOptional: Bool = false) {
        self.modes = modes
        self.path = path
        self.isOptional = isOptional
    }

    /// Reads `modes:path`, split at the first colon, so that a path may have colons of its own.
    ///
    /// Modes are any of r, w, x and c, at least one, none twice. A `?` behind them makes the rule optional. `~` is an
    /// ordinary character of a path.
    /// - Parameter directory: What a relative path is relative to; nil where only absolute paths are accepted.
    public init(parsing text: String, relativeTo directory: String? = nil) throws(UnveilRuleError) {
        let bytes = text.utf8
        guard let colon = bytes.firstIndex(of: 0x3A) else { throw UnveilRuleError(rule: text, problem: .noColon) }

        var modes: AccessModes = []
        var letters = text.unicodeScalars[..<colon]
        let isOptional = letters.last == "?"
        if isOptional { letters.removeLast() }
        for letter in letters {
            if letter == "?" { throw UnveilRuleError(rule: text, problem: .misplacedMark) }
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
            self.init(modes: modes, path: written, isOptional: isOptional)
        } else if let directory {
            let path = directory.utf8.last == 0x2F ? directory + written : directory + "/" + written
            self.init(modes: modes, path: path, isOptional: isOptional)
        } else {
            throw UnveilRuleError(rule: text, problem: .relativePath)
        }
    }

    /// The rule in the form it is written in.
    public var text: String { modes.letters + (isOptional ? "?:" : ":") + path }

    /// Byte for byte: to the kernel, two spellings of one character in Unicode are two paths.
    public static func == (left: UnveilRule, right: UnveilRule) -> Bool {
        left.modes == right.modes && left.isOptional == right.isOptional
            && left.path.utf8.elementsEqual(right.path.utf8)
    }
}

/// Why a text is not an unveil rule.
public struct UnveilRuleError: Error, Equatable, Sendable {
    /// What is wrong with a rule.
    public enum Problem: Equatable, Sendable {
        case noColon
        case noModes
        case unknownMode(Unicode.Scalar)
        case repeatedMode(Unicode.Scalar)
        /// A question mark that is not the last character before the colon.
        case misplacedMark
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
        case .misplacedMark:
            return
                "the ? of a rule whose path may be missing must stand between the modes and the colon, once, for example "
                + "r?:/etc/mime.types"
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
