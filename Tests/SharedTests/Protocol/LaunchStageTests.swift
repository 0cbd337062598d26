import CLinux
import Glibc
import Testing

@testable import Shared

@Suite struct LaunchStageTests {
    private static let childSteps: [(LaunchStage, exec2_step_kind)] = [
        (.session, EXEC2_STEP_SESSION), (.enterNetwork, EXEC2_STEP_NETWORK),
        (.privateMounts, EXEC2_STEP_MOUNTS_SLAVE), (.mountProc, EXEC2_STEP_PROC),
        (.readOnlyDirectory, EXEC2_STEP_READ_ONLY), (.oomScoreAdj, EXEC2_STEP_OOM_SCORE_ADJ),
        (.groups, EXEC2_STEP_GROUPS), (.groupID, EXEC2_STEP_GROUP_ID),
        (.boundingSet, EXEC2_STEP_BOUNDING_SET),
        (.userID, EXEC2_STEP_USER_ID), (.capabilities, EXEC2_STEP_CAPABILITIES),
        (.noNewPrivs, EXEC2_STEP_NO_NEW_PRIVS), (.workDir, EXEC2_STEP_WORK_DIR),
        (.descriptors, EXEC2_STEP_DESCRIPTOR), (.unveil, EXEC2_STEP_UNVEIL), (.restrict, EXEC2_STEP_RESTRICT),
        (.signals, EXEC2_STEP_SIGNALS), (.closeDescriptors, EXEC2_STEP_CLOSE), (.umask, EXEC2_STEP_UMASK),
        (.resourceLimit, EXEC2_STEP_RESOURCE_LIMIT),
        (.generatedFile, EXEC2_STEP_GENERATED_FILE), (.mount, EXEC2_STEP_MOUNT),
        (.keepCapabilities, EXEC2_STEP_KEEP_CAPABILITIES), (.ambientCapabilities, EXEC2_STEP_AMBIENT),
        (.seccomp, EXEC2_STEP_SECCOMP),
        (.joinNamespaces, EXEC2_STEP_JOIN), (.controllingTerminal, EXEC2_STEP_TERMINAL),
        (.parentDeath, EXEC2_STEP_PARENT_DEATH),
    ]

    @Test func theChildsStagesAreItsSteps() {
        for (stage, step) in Self.childSteps { #expect(stage.rawValue == step.rawValue, "\(stage)") }
        #expect(Set(Self.childSteps.map(\.0)) == Set(LaunchStage.allCases.filter { $0.rawValue < 100 }))
    }

    /// A step that the header gains must become a stage too.
    @Test func everyStepOfTheHeaderIsAStage() throws {
        let end = try #require(#filePath.firstRange(of: "/Tests/SharedTests/"))
        let header = try text(of: #filePath[..<end.lowerBound] + "/Sources/CLinux/include/child.h")
        let numbers = header.matches(of: #/EXEC2_STEP_[A-Z_]+ = (\d+),/#).compactMap { UInt32($0.1) }
        #expect(numbers.count >= 19)
        #expect(Set(numbers) == Set(LaunchStage.allCases.map(\.rawValue).filter { $0 < 100 }))
        #expect(Set(numbers).count == numbers.count)
    }

    @Test func everyStageSaysWhatWasAttempted() {
        for stage in LaunchStage.allCases {
            #expect(!stage.attempt.isEmpty)
            #expect(!stage.attempt.hasPrefix(" ") && !stage.attempt.hasSuffix(" "), "\(stage)")
            #expect(stage.attempt.first?.isLowercase == true, "\(stage) stands behind \"cannot \"")
        }
        let attempts = Set(LaunchStage.allCases.map(\.attempt))
        #expect(attempts.count == LaunchStage.allCases.count)
    }

    private func text(of path: some StringProtocol) throws -> String {
        let file = open(String(path), O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(file, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
