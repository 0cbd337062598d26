import Shared

extension Suggestion {
    /// What a further try may have without anybody's leave, and what it may not, both as options of `run`.
    package struct Offer: Equatable, Sendable {
        package var given: [String] = []
        package var leftOut: [String] = []

        package init(given: [String] = [], leftOut: [String] = []) {
            (self.given, self.leftOut) = (given, leftOut)
        }

        fileprivate mutating func add(_ words: [String], isGiven: Bool) {
            if isGiven { given += words } else { leftOut += words }
        }
    }

    /// Splits what would have helped.
    ///
    /// An untrusted program chooses what it asks for. So a try gets by itself what gives nothing away: rules to read and
    /// to execute without a warning, and an /etc/passwd of its own.
    /// - Parameters:
    ///   - own: The command's own directories, in which it can replace what a rule names.
    ///   - isPublic: Whether every user of the host may read a path, and only root can put something else there.
    func offer(own: [String], isPublic: (_ path: String) -> Bool) -> Offer {
        var offer = Offer()
        func isGiven(_ rule: Rule) -> Bool {
            let isReading = rule.modes.isDisjoint(with: [.write, .create])
            let isOwn = own.contains { rule.path.isWithin($0) }
            return isReading && !isOwn && Breadth.warning(rule, own: own) == nil && isPublic(rule.path)
        }
        for rule in rules {
            // One file of a directory may be given where the whole directory may not.
            let parts = isGiven(rule) ? [rule] : Self.needed(single.filter { $0.path.isWithin(rule.path) })
            for part in parts { offer.add(["--unveil", part.text], isGiven: isGiven(part)) }
        }
        for index in options.indices {
            let isGiven = options[index] == Self.userFiles.subject
            offer.add(words(ofOption: index), isGiven: isGiven)
        }
        return offer
    }
}
