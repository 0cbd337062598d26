import Shared

extension TraceAnalysis {
    /// The number of denials and the cost of the trace, as lines.
    package func summary(_ figures: Tracer.Figures) -> [String] {
        let findings = findings
        func count(_ remedies: Finding.Remedy...) -> String { String(findings.count { remedies.contains($0.remedy) }) }
        var lines: [String] = []
        let isAgain = hasEarlierFindings
        if findings.isEmpty {
            lines.append(isAgain ? "nothing more was denied" : "nothing was denied")
        } else {
            let kinds = [
                count(.rule) + " for want of a rule", count(.option, .pluginOption) + " of an option",
                count(.permissions) + " by file permissions", count(.none) + " otherwise",
            ]
            lines.append(
                String(findings.count) + (isAgain ? " more denied: " : " denied: ") + kinds.joined(separator: ", "))
        }
        lines.append(
            String(figures.calls) + " system calls of " + String(figures.threads)
                + (figures.threads == 1 ? " thread in " : " threads in ")
                + Self.seconds(figures.elapsed) + " s, held for " + Self.seconds(figures.held) + " s of it")
        let leftOut = figures.leftOut + self.leftOut
        if leftOut > 0 {
            lines.append(
                String(leftOut) + " failed calls were not looked at: there were too many different ones")
        }
        if figures.foreign > 0 {
            lines.append(
                String(figures.foreign) + (figures.foreign == 1 ? " process was" : " processes were") + " left alone")
        }
        return lines
    }

    /// The suggestion as HCL.
    /// - Parameters:
    ///   - own: The task's own directories.
    ///   - forRun: With the options of `run` as well.
    package func suggestion(own: [String], forRun: Bool) -> String {
        suggestion.text(own: own, forRun: forRun)
    }

    /// What would have helped, for a further try (`Suggestion.offer`).
    package func offer(own: [String], isPublic: (String) -> Bool) -> Suggestion.Offer {
        suggestion.offer(own: own, isPublic: isPublic)
    }

    private static func seconds(_ nanoseconds: UInt64) -> String {
        let hundredths = (nanoseconds + 5_000_000) / 10_000_000
        let rest = hundredths % 100
        return String(hundredths / 100) + (rest < 10 ? ".0" : ".") + String(rest)
    }
}
