import Tracing

/// The tries of a run with `--retry`: each has what all before it would have needed.
struct RunTries {
    /// What the next try is run with.
    private(set) var options: RunOptions
    private let given: RunOptions
    private var count = 0
    private var suggested: [String] = []

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
    ///   - suggested: What would have helped this try and those before, as options of `run`.
    mutating func decide(status: Int32, isStopped: Bool, suggested words: [String]) -> Decision {
        count += 1
        guard given.retries, status != 0, !isStopped else { return .last(nil) }
        let failed = "try \(count) ended with exit status \(status)"
        guard words != suggested else { return .last("\(failed), and no option would allow more") }
        guard count < Self.maximum else { return .last("\(failed), and it was the last of \(Self.maximum)") }
        var next = given
        do throws(UsageError) {
            try next.add(words)
        } catch {
            return .last("\(failed), and what is suggested cannot be given to run: \(error.text)")
        }
        (options, suggested) = (next, words)
        return .again("\(failed); trying again with " + Suggestion.shell(words))
    }
}
