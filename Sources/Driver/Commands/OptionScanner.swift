import CLinux
import Shared

/// One option of the command line, with its line in the help.
struct CommandOption: Sendable {
    /// Without the dashes.
    let name: String
    var letter: Character?
    /// What the value is called in the help; nil for an option without a value.
    var value: String?
    /// For the help.
    let help: String
    /// What a shell offers as the value.
    var completes = Completion.nothing
    /// More than once means something.
    var isRepeatable = false

    enum Completion: Equatable, Sendable {
        case nothing, files, directories, users, variables, networkNamespaces
        /// MODES:PATH
        case rule
        case words([String])
    }
}

/// A command line that cannot be understood: the sentence for the person who typed it.
struct UsageError: Error, Equatable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }
}

/// Takes the options off the front of a command line with getopt_long(3): `--name value`, `--name=value`,
/// unambiguous beginnings of names, `-x`. The first word that is no option ends them, so that the options
/// of a command to run stay the command's; so does `--`.
struct OptionScanner: Sendable {
    struct Found: Equatable, Sendable {
        let name: String
        /// Nil for an option without one.
        let value: String?
    }

    let options: [CommandOption]

    /// getopt keeps its place in global variables.
    private static let oneAtATime = Mutex<Void>(())
    /// `val` of the first long option: above every letter.
    private static let firstCode: Int32 = 1000

    /// Refuses a path of this program's own that is empty or not UTF-8, as what the plugin's options are.
    static func checkPath(_ path: String, of option: String) throws(UsageError) {
        if path.isEmpty { throw UsageError("--\(option) is empty") }
        if !ByteText.isUTF8(path) { throw UsageError("--\(option) \(quoted(path)) is not UTF-8, which it must be") }
    }

    /// - Parameter words: Without the program's own name.
    func scan(_ words: [String]) throws(UsageError) -> (found: [Found], rest: [String]) {
        try Self.oneAtATime.withLock { (_) throws(UsageError) in try scanAlone(words) }
    }

    private func scanAlone(_ words: [String]) throws(UsageError) -> (found: [Found], rest: [String]) {
        var copies: [UnsafeMutablePointer<CChar>?] = ([""] + words).map { strdup($0) } + [nil]
        let names = options.map { strdup($0.name) }
        defer { for copy in copies + names { free(copy) } }
        var table = options.indices.map { index in
            option(
                name: names[index], has_arg: options[index].value == nil ? no_argument : required_argument,
                flag: nil, val: Self.firstCode + Int32(index))
        }
        table.append(option())
        // + ends at the first word that is no option, : tells a missing value apart.
        let letters =
            "+:"
            + options.compactMap { option in
                option.letter.map { String($0) + (option.value == nil ? "" : ":") }
            }.joined()

        var found: [Found] = []
        var isFirst = true
        while true {
            let step = exec2_next_option(Int32(words.count + 1), &copies, letters, table, isFirst ? 1 : 0)
            isFirst = false
            if step.code == -1 { return (found, Array(words.dropFirst(Int(step.next) - 1))) }
            guard let option = known(step.code) else {
                throw UsageError(problem(step, word: words[max(0, Int(step.next) - 2)]))
            }
            found.append(Found(name: option.name, value: step.value.map { String(cString: $0) }))
        }
    }

    private func known(_ code: Int32) -> CommandOption? {
        let index = Int(code - Self.firstCode)
        if options.indices.contains(index) { return options[index] }
        guard code > 0, let scalar = Unicode.Scalar(UInt32(code)) else { return nil }
        return options.first { $0.letter == Character(scalar) }
    }

    private func problem(_ step: exec2_option_found, word: String) -> String {
        let known = known(step.offending)
        if step.code == Int32(UInt8(ascii: ":")) {
            let name = known.map { "--" + $0.name } ?? word
            return "option \(name) needs a value" + (known?.value.map { ": \(name) \($0)" } ?? "")
        }
        if let known { return "option --\(known.name) takes no value, and \(quoted(word)) gives it one" }
        guard word.hasPrefix("--") else {
            let letter =
                Unicode.Scalar(UInt32(max(0, step.offending))).map { "-" + String(Character($0)) } ?? word
            return letter == word
                ? "unknown option \(quoted(word))" : "unknown option \(quoted(letter)) in \(quoted(word))"
        }
        let alike = options.filter { ("--" + $0.name).hasPrefix(word.prefix { $0 != "=" }) }
        if alike.count > 1 {
            return
                "option \(quoted(word)) is ambiguous; it matches \(alike.map { "--" + $0.name }.joined(separator: ", "))"
        }
        return "unknown option \(quoted(word))"
    }
}
