import Host
import Planning
import Shared

/// Why there is no template for a start.
enum TemplateError: Error, Sendable {
    enum Attempt: Sendable, Equatable {
        case reading, making
    }

    /// The client has cancelled the start.
    case givenUp
    /// A path is on a file system that does not answer.
    case unanswered(Attempt, UnansweredPath)
    /// No thread has begun to read the paths.
    case notRead(seconds: UInt64)
    case spawn(SpawnError)
    case system(SystemError)
    /// A step of the process that makes the template failed.
    case step(stage: UInt32, Errno, subject: String)
    /// That process has opened every path, but was not ready in time.
    case notMade(maker: Int32, seconds: UInt64)
    /// That process has ended without a report.
    case ended(maker: Int32, program: String, ExecutorTermination)

    /// Whether a file was replaced between being opened and being mounted: the old file has no name any more, and
    /// move_mount(2) fails with ENOENT (seen up to Linux 6.18).
    var isReplacement: Bool {
        guard case .step(let stage, .noSuchFile, _) = self else { return false }
        return stage == LaunchStage.rootMount.rawValue
    }

    /// The error of the start that needed the template.
    func startError(_ context: LaunchFailureContext) -> StartError {
        switch self {
        case .givenUp: .givenUp
        case .unanswered(let attempt, let path):
            StartError(
                .transient,
                (attempt == .reading ? "cannot read which files of the host tasks' roots show: " : Self.failure)
                    + path.text + "; " + path.remedy)
        case .notRead(let seconds):
            StartError(
                .transient,
                "cannot read which files of the host tasks' roots show: no thread could be started for that within "
                    + "\(seconds) s; check that the host, and the agent's cgroup, have memory and processes left")
        case .spawn(let error): StartError(error.isTransient ? .transient : .permanent, Self.failure + error.text)
        case .system(let error):
            StartError(StartError.mayPass(error.errno) ? .transient : .permanent, Self.failure + error.text)
        case .step(let stage, let errno, let subject):
            StartError(stage: stage, errno, subject: subject, context: context)
        case .notMade(let maker, let seconds):
            StartError(
                .transient,
                Self.failure
                    + "the process that makes it (exec2-template, pid \(maker)) was not ready within \(seconds) s")
        case .ended(let maker, let program, let termination):
            StartError(
                .transient,
                Self.failure + "the process that makes it (exec2-template, pid \(maker)) "
                    + termination.lossOfTemplate(program))
        }
    }

    private static let failure = "cannot make the template of tasks' roots: "
}

extension ExecutorTermination {
    /// How the process ended that made a template and has sent no report.
    fileprivate func lossOfTemplate(_ program: String) -> String {
        switch self {
        case .exited(ExecutorExit.noRequest): "could not read its request (out of memory?)"
        case .exited(ExecutorExit.outOfMemory): "had no memory"
        case .exited(let status):
            "exited with status \(status) and could not report how that went (is \(program) the Executor's program?)"
        case .killed(let signal): "was ended by signal \(signal) (killed, or out of memory?)"
        case .unknown: "ended without a report"
        }
    }
}
