import Shared
import Tracing

/// The end of what `run --trace` and `trace` tell.
enum TraceReport {
    /// Writes what was found.
    /// - Parameter say: Takes one line.
    static func finish(_ analysis: TraceAnalysis, _ figures: Tracer.Figures, say: (String) -> Void) {
        if let path = analysis.finish() {
            say(
                "the file system of \(quoted(ByteText.readable(path))) does not answer: what was asked for after it is not "
                    + "in the list")
        }
        for line in analysis.summary(figures) { say(line) }
    }

    /// Why nothing can be traced, and what to do.
    static func remedy(_ error: SystemError) -> String {
        error.errno == .notPermitted
            ? error.text + "; it takes the capability CAP_SYS_PTRACE, and kernel.yama.ptrace_scope below 3" : error.text
    }
}
