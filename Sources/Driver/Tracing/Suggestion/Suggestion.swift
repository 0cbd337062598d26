import Shared

/// The shortest list of rules with which a run would have met no denial, as far as rules can help. No effects.
struct Suggestion {
    final class Rule {
        var modes: AccessModes
        let path: String
        var isDirectory: Bool

        init(_ modes: AccessModes, _ path: String, isDirectory: Bool) {
            self.modes = modes
            self.path = path
            self.isDirectory = isDirectory
        }

        var text: String { modes.letters + ":" + path }
    }

    /// By their paths.
    private(set) var rules: [Rule] = []
    /// Rules for whole directories of the system, which only a person can decide to give.
    private(set) var undecided: [Rule] = []
    /// Options by their names, and what each has to list; nothing for one of the plugin that is to be true.
    private(set) var options: [String] = []
    private(set) var values: [[String]] = []

    init(_ findings: [Finding]) {
        for finding in findings {
            switch finding.remedy {
            case .rule: add(finding)
            case .option, .pluginOption: addOption(finding)
            case .permissions, .none: break
            }
        }
        rules = Self.merged(rules)
        undecided = Self.needed(undecided)
    }

    private mutating func addOption(_ finding: Finding) {
        let value = finding.value.isEmpty ? [] : [finding.value]
        guard let index = options.firstIndex(of: finding.subject) else {
            options.append(finding.subject)
            values.append(value)
            return
        }
        if !value.isEmpty && !values[index].contains(finding.value) { values[index] += value }
    }

    private mutating func add(_ finding: Finding) {
        var modes = finding.modes
        // What a program makes it also writes and reads.
        if modes.contains(.create) { modes.formUnion([.read, .write]) }
        if finding.isDirectory && Breadth.needsDecision(finding.subject) {
            undecided.append(Rule(modes, finding.subject, isDirectory: true))
            return
        }
        let reads = modes.isDisjoint(with: [.write, .create])
        let wider = reads ? Breadth.widened(finding.subject, isDirectory: finding.isDirectory) : nil
        rules.append(Rule(modes, wider ?? finding.subject, isDirectory: wider != nil || finding.isDirectory))
    }

    /// Without those that others include; several of one directory become that directory.
    private static func merged(_ rules: [Rule]) -> [Rule] {
        var rules = needed(rules)
        while let wider = commonDirectory(rules) { rules = needed(rules + [wider]) }
        return rules
    }

    /// A rule in place of two or more of one directory. The deepest comes first, so that it can be merged once more.
    private static func commonDirectory(_ rules: [Rule]) -> Rule? {
        var wider: Rule?
        for index in rules.indices {
            let rule = rules[index]
            let directory = parent(of: rule.path)
            guard !Breadth.isTooWide(directory), directory.utf8.count > wider?.path.utf8.count ?? 0 else { continue }
            if rules[(index + 1)...].contains(where: { $0.modes == rule.modes && parent(of: $0.path) == directory }) {
                wider = Rule(rule.modes, directory, isDirectory: true)
            }
        }
        return wider
    }

    /// One for each path, without those that one for a higher directory includes; by their paths.
    private static func needed(_ rules: [Rule]) -> [Rule] {
        var single: [Rule] = []
        for rule in rules {
            if let same = single.first(where: { $0.path == rule.path }) {
                same.modes.formUnion(rule.modes)
                same.isDirectory = same.isDirectory || rule.isDirectory
            } else {
                single.append(rule)
            }
        }
        let kept = single.filter { rule in
            !single.contains { $0.modes.isSuperset(of: rule.modes) && Self.isAbove($0.path, rule.path) }
        }
        return kept.map(\.path).sorted().compactMap { path in kept.first { $0.path == path } }
    }

    private static func isAbove(_ directory: String, _ path: String) -> Bool {
        path.utf8.count > directory.utf8.count && path.hasPrefix(directory == "/" ? "/" : directory + "/")
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.utf8.startIndex else { return "/" }
        return String(path[..<slash])
    }
}
