import Glibc
import Host
import Planning
import Shared
import Tracing

/// The tries of a run with `--retry`: each has what all before it would have needed and what may be given unasked.
struct RunTries {
    /// What the next try is run with.
    private(set) var options: RunOptions
    private let given: RunOptions
    private var count = 0
    private var offered: [String] = []

    static let maximum = 10

    init(_ options: RunOptions) {
        (self.options, given) = (options, options)
    }

    enum Decision: Equatable {
        /// The options are the next try's; the line says with what it is run.
        case again(String)
        /// The line says why, where the command fails still.
        case last(String?)
    }

    /// What follows a try.
    /// - Parameters:
    ///   - status: Its exit status.
    ///   - isStopped: A signal has asked for the end.
    ///   - offer: What would have helped this try and those before.
    mutating func decide(status: Int32, isStopped: Bool, offer: Suggestion.Offer) -> Decision {
        count += 1
        guard given.retries, status != 0, !isStopped else { return .last(nil) }
        let failed = "try \(count) ended with exit status \(status)"
        // Only the command hears of Ctrl-C at its terminal, and a shell has this status for one of its commands.
        if Self.signals.contains(status) { return .last("\(failed), that of a signal: it is not run again") }
        let left = offer.leftOut.isEmpty ? nil : "left out: " + Suggestion.shell(offer.leftOut)
        // By bytes: to Swift two different names may be equal.
        guard offer.given.contains(where: { word in !offered.contains { $0.utf8.elementsEqual(word.utf8) } }) else {
            return .last(
                failed + ", and "
                    + (left.map { "nothing more is given unasked; \($0)" } ?? "no option would allow more"))
        }
        guard count < Self.maximum else { return .last("\(failed), and it was the last of \(Self.maximum)") }
        var next = given
        do throws(UsageError) {
            try next.add(offer.given)
        } catch {
            return .last("\(failed), and what is suggested cannot be given to run: \(error.text)")
        }
        // What is gone by then is missing to the next try, which begins all the same.
        next.unveil =
            given.unveil
            + next.unveil.dropFirst(given.unveil.count).map {
                UnveilRule(modes: $0.modes, path: $0.path, isOptional: true)
            }
        (options, offered) = (next, offer.given)
        return .again(failed + "; trying again with " + Suggestion.shell(offer.given) + (left.map { "; \($0)" } ?? ""))
    }

    /// 128 and the number of a signal (bash(1), "EXIT STATUS").
    private static let signals: ClosedRange<Int32> = 129...192

    /// Whether a rule for a path may be given unasked: every user of the host may read it, and only root can put something
    /// else there, neither now nor in a try.
    /// - Parameter uid: The command's user. Root may read everything in a directory, so that no directory is public then.
    static func isPublic(_ path: String, to uid: uid_t, _ options: RunOptions) -> Bool {
        let writable =
            options.unveil.filter { !$0.modes.isDisjoint(with: [.write, .create]) }.map(\.path)
            + options.volumes.filter { !$0.readOnly }.map(\.hostPath)
        guard !writable.contains(where: { path.isWithin($0) }),
            case .trusted = PathTrust.of(path, last: true)
        else { return false }
        var facts = stat()
        var directory = ""
        for part in path.pathComponents.dropLast() {
            directory += "/" + part
            guard ByteText.withPath(directory, { stat($0, &facts) }) == 0, facts.st_mode & S_IXOTH != 0 else {
                return false
            }
        }
        guard ByteText.withPath(path, { stat($0, &facts) }) == 0 else { return false }
        switch facts.st_mode & S_IFMT {
        case S_IFDIR: return uid != 0 && facts.st_mode & (S_IROTH | S_IWOTH | S_IWGRP) == S_IROTH
        case S_IFREG: return facts.st_mode & S_IROTH != 0
        default: return false
        }
    }
}
