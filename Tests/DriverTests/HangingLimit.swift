import Glibc
import Testing

extension Trait where Self == TimeLimitTrait {
    /// Ends a test that hangs: after so many minutes, and on a slow machine after EXEC2_SLOW times as many.
    static func hanging(after minutes: Int) -> Self {
        let slowness = getenv("EXEC2_SLOW").flatMap { Int(String(cString: $0)) } ?? 1
        return .timeLimit(.minutes(minutes * slowness))
    }
}
