import Shared

/// A short list of rules and options that would have allowed everything that was denied, as far as possible. No
/// effects.
package struct Suggestion {
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

    /// Sorted by their paths.
    private(set) var rules: [Rule] = []
    /// The same before rules for several files of a directory became one for the directory.
    private(set) var single: [Rule] = []
    /// Rules for whole directories of the system, which a person has to decide about.
    private(set) var undecided: [Rule] = []
    /// The names of options, and the values of each; empty for an option of the plugin that is to be true.
    private(set) var options: [String] = []
    private(set) var values: [[String]] = []
    /// The titles of findings whose values are in `values`.
    private var listed: Set<String> = []

    /// - Parameter rootWantsAccounts: A process of root's has read the accounts. Root looks up other users, such as
    ///   those of its workers, and needs the host's files for that. Other users mostly look up themselves, and a
    ///   dynamic user is not in the host's files.
    init(_ findings: [Finding], rootWantsAccounts: Bool = false) {
        for finding in findings {
            switch finding.remedy {
            case .rule where finding.isOfAccounts && !rootWantsAccounts: addOption(Self.userFiles)
            case .rule: add(finding)
            case .option, .pluginOption: addOption(finding)
            case .permissions, .none: break
            }
        }
        single = rules.map { Rule($0.modes, $0.path, isDirectory: $0.isDirectory) }
        rules = Self.merged(rules)
        undecided = Self.needed(undecided)
    }

    static let userFiles = Finding(.option, "user_files", "")

    private mutating func addOption(_ finding: Finding) {
        let index = options.firstIndex(of: finding.subject) ?? options.endIndex
        if index == options.endIndex {
            options.append(finding.subject)
            values.append([])
        }
        if !finding.value.isEmpty && listed.insert(finding.title).inserted { values[index].append(finding.value) }
    }

    private mutating func add(_ finding: Finding) {
        var modes = finding.modes
        // A program that makes a file also writes and reads it.
        if modes.contains(.create) { modes.formUnion([.read, .write]) }
        if finding.isDirectory && Breadth.needsDecision(finding.subject) {
            undecided.append(Rule(modes, finding.subject, isDirectory: true))
            return
        }
        let reads = modes.isDisjoint(with: [.write, .create])
        let wider = reads ? Breadth.widened(finding.subject, isDirectory: finding.isDirectory) : nil
        rules.append(Rule(modes, wider ?? finding.subject, isDirectory: wider != nil || finding.isDirectory))
    }

    /// Drops rules that others include, and replaces several rules in one directory by one for that directory. The
    /// deepest directories come first, so that rules which replace others can be merged again.
    private static func merged(_ rules: [Rule]) -> [Rule] {
        var known: [ExactText: Rule] = [:]
        var members: [ExactText: [ExactText]] = [:]
        /// Keyed by the lengths of their paths.
        var directories: [Int: [String]] = [:]
        func add(_ rule: Rule) {
            let path = ExactText(rule.path)
            known[path] = rule
            let directory = parent(of: rule.path)
            let key = ExactText(directory)
            if members[key] == nil { directories[directory.utf8.count, default: []].append(directory) }
            members[key, default: []].append(path)
        }
        for rule in needed(rules) { add(rule) }
        for length in (0...(directories.keys.max() ?? 0)).reversed() {
            for directory in directories[length] ?? [] where !Breadth.isTooWide(directory) {
                let key = ExactText(directory)
                let inside = (members[key] ?? []).compactMap { known[$0]?.modes }
                let before = known[key]?.modes ?? []
                let modes = common(inside, before)
                if modes == before { continue }
                if let rule = known[key] {
                    rule.modes = modes
                    rule.isDirectory = true
                } else {
                    add(Rule(modes, directory, isDirectory: true))
                }
            }
        }
        return needed(Array(known.values))
    }

    /// The modes of a rule for a directory, with those that two or more rules in it have in common.
    private static func common(_ rules: [AccessModes], _ modes: AccessModes) -> AccessModes {
        var modes = modes
        while true {
            let left = rules.filter { !modes.isSuperset(of: $0) }
            var counts: [UInt8: Int] = [:]
            for rule in left { counts[rule.rawValue, default: 0] += 1 }
            guard let several = left.first(where: { counts[$0.rawValue, default: 0] > 1 }) else { return modes }
            modes.formUnion(several)
        }
    }

    /// One rule for each path, without those that a rule for a higher directory includes, sorted by path.
    static func needed(_ rules: [Rule]) -> [Rule] {
        var single: [ExactText: Rule] = [:]
        for rule in rules {
            if let same = single[ExactText(rule.path)] {
                same.modes.formUnion(rule.modes)
                same.isDirectory = same.isDirectory || rule.isDirectory
            } else {
                single[ExactText(rule.path)] = rule
            }
        }
        return single.values.filter { rule in
            var path = rule.path
            while path != "/" {
                path = parent(of: path)
                if let above = single[ExactText(path)], above.modes.isSuperset(of: rule.modes) { return false }
            }
            return true
        }.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.utf8.startIndex else { return "/" }
        return String(path[..<slash])
    }
}
