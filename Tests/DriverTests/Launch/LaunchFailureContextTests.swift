import CMessages
import Glibc
import Shared
import Testing

@testable import Exec
@testable import Messages
@testable import Planning
@testable import Supervision

@Suite struct LaunchFailureContextTests {
    private static let directory = TaskStateDirectory(stateDirectory: "/run/x", name: "a+web")

    /// What an Executor keeps of the launch.
    private static func stored() throws -> MessageView<Exec2__Executor__LaunchRequest> {
        try DecodedMessage(StartErrorTests.specification.encoded(session: 7, directory: directory)).root
    }

    private static var subjects: [String] {
        let specification = StartErrorTests.specification
        return specification.unveil.map(\.rule.path) + specification.mounts.map(\.source)
            + specification.mounts.map(\.destination.path) + ["/x"]
    }

    @Test func theStoredRequestGivesTheContextOfTheStart() throws {
        let context = LaunchFailureContext(StartErrorTests.specification)
        #expect(LaunchFailureContext(try Self.stored()) == context)
        #expect(!context.rules.isEmpty && !context.mounts.isEmpty)
        #expect(context.rules.contains { $0.origin != nil } && context.rules.contains(where: \.staysInTask))
        #expect(context.mounts.contains(where: \.isMade) && context.mounts.contains(where: \.isDevice))
    }

    /// Whatever fails, and on whatever: a command's error ends with the sentence that the start's would be.
    @Test func theSameFailureGivesTheSameHintAtStartAndAtExec() throws {
        let start = LaunchFailureContext(StartErrorTests.specification)
        let exec = LaunchFailureContext(try Self.stored())
        var hints: Set<String> = []
        for stage in LaunchStage.allCases {
            for errno in [EPERM, ENOENT, EACCES, ENOTDIR, EISDIR, EINVAL, EROFS, ELOOP, EXDEV, ENOSYS] {
                for subject in Self.subjects {
                    let errno = Errno(rawValue: errno)
                    let started = StartError(stage: stage.rawValue, errno, subject: subject, context: start)
                    let command = ExecError(task: "a/web", stage: stage.rawValue, errno, subject: subject, exec)
                    #expect(command.text == "cannot exec in task \"a/web\": " + started.text)
                    if let hint = started.text.firstRange(of: "; ") {
                        hints.insert(String(started.text[hint.upperBound...]))
                    }
                }
            }
        }
        #expect(hints.contains("user \"nobody\" must be able to enter it"))
        #expect(hints.contains { $0.contains("plugin option unveil_paths") })
        #expect(hints.contains { $0.contains("task's volume") } && hints.contains { $0.contains("task's device") })
        #expect(hints.contains { $0.contains("a file can only be mounted on a file, and /srv1 is not a directory") })
    }

    /// A task that a Driver of an earlier release has started: its request names neither the user nor the origins.
    @Test func aRequestOfAnEarlierReleaseHasTheUsersNumber() throws {
        let bytes = Exec2__Executor__LaunchRequest.encoded { message, arena in
            message.user_id = 65534
            message[.unveil] = arena.messages(Exec2__Executor__UnveilPath.self, ["/srv"]) {
                $0.path = arena.string($1)
                $0.modes = UInt32(AccessModes.read.rawValue)
            }
        }
        let context = LaunchFailureContext(try DecodedMessage(bytes).root)
        #expect(context.user == "65534")
        #expect(context.rules.map(\.origin) == [nil])
        let error = StartError(
            stage: LaunchStage.workDir.rawValue, .permissionDenied, subject: "/w", context: context)
        #expect(error.text.hasSuffix("; user \"65534\" must be able to enter it"))
    }
}
