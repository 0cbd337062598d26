import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Planning
@testable import Supervision

@Suite struct RecoveryTests {
    private static let record = ExitRecord(
        taskDirectory: "a+web", exitCode: 7, signal: 0, oomKilled: false, startedAt: 1, endedAt: 2, pid: 3)
    private static let damage = RecordError.damaged(path: "/run/x/exit", .checksumMismatch)

    private func outcome(
        sameBoot: Bool, hasDirectory: Bool = true, executorLives: Bool, _ record: Result<ExitRecord?, RecordError>
    ) -> Recovery {
        Recovery.outcome(
            sameBoot: sameBoot, hasDirectory: hasDirectory, record: record, executorLives: executorLives, now: 99)
    }

    /// The exit record is the truth wherever it is there.
    @Test(arguments: [true, false], [true, false])
    func aRecordIsTheEnd(sameBoot: Bool, executorLives: Bool) {
        let found = outcome(sameBoot: sameBoot, executorLives: executorLives, .success(Self.record))
        #expect(found == .ended(.recorded(Self.record)))
    }

    @Test func anExecutorThatLivesHasItsTask() {
        for hasDirectory in [true, false] {
            let expected: Recovery = hasDirectory ? .running : .runningWithoutDirectory
            #expect(outcome(sameBoot: true, hasDirectory: hasDirectory, executorLives: true, .success(nil)) == expected)
            #expect(
                outcome(sameBoot: true, hasDirectory: hasDirectory, executorLives: true, .failure(Self.damage))
                    == expected)
        }
    }

    @Test func withoutExecutorAndRecordTheSupervisorIsLost() {
        guard case .supervisorLost(let end) = outcome(sameBoot: true, executorLives: false, .success(nil)) else {
            Issue.record("the supervisor was not reported as lost")
            return
        }
        #expect(end.exitCode == 137)
        #expect(end.signal == SIGKILL)
        #expect(!end.oomKilled)
        #expect(end.endedAt == 99)
        #expect(end.error?.contains("supervisor (Executor) was killed") == true)
    }

    /// To the host an end without a record is a failure of the task's, which it is not.
    @Test func whatIsNowhereIsGone() {
        guard case .gone(let reason) = outcome(sameBoot: true, hasDirectory: false, executorLives: false, .success(nil))
        else {
            Issue.record("a task of which nothing is left was reported as something else")
            return
        }
        #expect(reason == "neither its state directory nor its supervisor (Executor) is there any more")
    }

    /// Whatever has the Executor's pid after a reboot, it is not the Executor.
    @Test(arguments: [true, false], [true, false])
    func afterARebootATaskWithoutRecordIsGone(hasDirectory: Bool, executorLives: Bool) {
        let found = outcome(sameBoot: false, hasDirectory: hasDirectory, executorLives: executorLives, .success(nil))
        #expect(found == .gone(reason: "the host was rebooted while the task ran; its exit status is lost"))
    }

    @Test func aDamagedRecordIsSaidToBeDamaged() {
        for sameBoot in [true, false] {
            let text: String? =
                switch outcome(sameBoot: sameBoot, executorLives: false, .failure(Self.damage)) {
                case .ended(let end), .supervisorLost(let end): end.error
                case .gone(let reason): reason
                case .running, .runningWithoutDirectory: nil
                }
            #expect(text?.hasSuffix("; /run/x/exit: \(ExitRecordDamage.checksumMismatch.text)") == true)
        }
    }
}

@Suite struct HeldProcessTests {
    @Test func onlyTheProcessThatIsMeantIsHeld() throws {
        let start = try #require(ProcessFacts.startTime(of: getpid()))
        let own = try HeldProcess.open(pid: getpid(), startTime: start)
        let isHeld = own != nil
        #expect(isHeld)
        for (pid, time) in [
            (getpid(), start + 1), (getpid(), 0), (0, start), (-1, start), (Int32.max, start),
        ] {
            let other = try HeldProcess.open(pid: pid, startTime: time)
            let isHeld = other != nil
            #expect(!isHeld, "pid \(pid), start time \(time)")
        }
    }

    /// An Executor that nobody has reaped is gone all the same.
    @Test func aZombieIsNotHeld() throws {
        var pid: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
        defer { free(arguments[0]) }
        try #require(posix_spawn(&pid, "/bin/true", nil, nil, &arguments, nil) == 0)
        defer { waitpid(pid, nil, 0) }
        var facts = siginfo_t()
        try #require(waitid(P_PID, id_t(pid), &facts, WEXITED | WNOWAIT) == 0)
        #expect(ProcessFacts.isZombie(pid))
        #expect(!ProcessFacts.isZombie(getpid()))
        let start = try #require(ProcessFacts.startTime(of: pid))
        let zombie = try HeldProcess.open(pid: pid, startTime: start)
        let isHeld = zombie != nil
        #expect(!isHeld)
    }
}
