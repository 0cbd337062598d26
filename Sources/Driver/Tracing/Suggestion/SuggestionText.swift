import Shared

extension Suggestion {
    /// The suggestion as HCL, for a job and for the plugin.
    /// - Parameters:
    ///   - own: The task's own directories.
    ///   - forRun: With the options of `run` as well.
    func text(own: [String], forRun: Bool) -> String {
        if rules.isEmpty && undecided.isEmpty && options.isEmpty {
            return "# No rule and no option is needed.\n"
        }
        var text = ""
        if !rules.isEmpty || !undecided.isEmpty {
            text +=
                "# For the job, on a client with unveil_by_task = true:\nunveil = [\n" + list(own, forJob: true) + "]\n"
            text +=
                "# Or for the plugin, for every task of the client:\nunveil_paths = [\n" + list(own, forJob: false)
                + "]\n"
        }
        for index in options.indices {
            let value = values[index].isEmpty ? "true" : "[" + values[index].joined(separator: ", ") + "]"
            text += "# " + Self.remark(options[index]) + "\n" + options[index] + " = " + value + "\n"
        }
        if forRun {
            // Another run has directories of its own.
            let words = commandLine { Self.inside($0, own) == nil }
            if !words.isEmpty { text += "# Or for run:\n# " + Self.shell(words) + "\n" }
        }
        return text
    }

    private func list(_ own: [String], forJob: Bool) -> String {
        var text = ""
        for rule in rules {
            let inside = Self.inside(rule.path, own)
            let path = forJob ? inside ?? rule.path : rule.path
            let isForOthers = !forJob && inside != nil
            let prefix = isForOthers ? "  # the task's own, and so for its job alone: " : "  "
            text += Self.line(rule, rule.modes.letters + ":" + path, own, prefix: prefix)
        }
        for rule in undecided { text += Self.line(rule, rule.text, own, prefix: "  # left out: ") }
        return text
    }

    /// The path relative to the task's directory, as a job may name it; nil for a path that is elsewhere.
    private static func inside(_ path: String, _ own: [String]) -> String? {
        guard let directory = own.first?.utf8, path.isWithin(String(directory)), path.utf8.count > directory.count
        else {
            return nil
        }
        return String(Substring(path.utf8.dropFirst(directory.count + 1)))
    }

    private static func line(_ rule: Rule, _ text: String, _ own: [String], prefix: String) -> String {
        var line = (ByteText.isUTF8(text) ? prefix : "  # not UTF-8, which a job must be: ") + hcl(text) + ","
        if let warning = Breadth.warning(rule, own: own) { line += "  # " + warning }
        return line + "\n"
    }

    private static func remark(_ name: String) -> String {
        switch name {
        case "cap_add": "For the job; allow_caps of the client must list it as well:"
        case "syscalls":
            "For the job; allow_syscalls of the client must list it as well. It opens more of the kernel to the task:"
        case "abstract_sockets": "For the plugin, for every task of the client:"
        case "user_files":
            "For the job: an /etc/passwd and an /etc/group of its own with its user in them, and no account of the host's:"
        default: "For the job, in addition to what the list has:"
        }
    }

    /// The suggestion as arguments of `run`.
    /// - Parameter includes: Whether to include the rule for a path.
    private func commandLine(_ includes: (String) -> Bool) -> [String] {
        var words: [String] = []
        for rule in rules where includes(rule.path) { words += ["--unveil", rule.text] }
        for index in options.indices { words += self.words(ofOption: index) }
        return words
    }

    func words(ofOption index: Int) -> [String] {
        let option = "--" + String(options[index].map { $0 == "_" ? "-" : $0 })
        return values[index].isEmpty ? [option] : values[index].flatMap { [option, $0.filter { $0 != "\"" }] }
    }

    /// Words quoted for a shell.
    package static func shell(_ words: [String]) -> String { words.map(shell).joined(separator: " ") }

    private static func shell(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            byte >= 0x2B && byte <= 0x3A || byte >= 0x40 && byte <= 0x5A || byte >= 0x61 && byte <= 0x7A || byte == 0x5F
        }
        if isPlain { return text }
        var result = "$'"
        for byte in ByteText.bytes(text) {
            if byte < 0x20 || byte >= 0x7F || byte == 0x27 || byte == 0x5C {
                result += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            } else {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return result + "'"
    }

    /// A string literal of HCL, without templates.
    static func hcl(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in quoted(ByteText.readable(text), limit: .max).unicodeScalars {
            // ${ and %{ begin templates, unless the first character is doubled.
            if scalar == "{", let sign = result.last, sign == "$" || sign == "%" { result.append(sign) }
            result.append(scalar)
        }
        return String(result)
    }
}
