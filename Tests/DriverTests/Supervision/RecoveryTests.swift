import Glibc
import Shared
import Testing

@testable import Driver

@Suite struct RecoveryTests {
    private static let record = ExitRecord(
        taskFolder: "a+web", exitCode: 7, signal: 0, oomKilled: false, startedAt: 1, endedAt: 2, pid: 3)
    private static let damage = RecordError.damaged(path: "/run/x/exit", .checksumMismatch)

    private func outcome(
        sameBoot: Bool, executor: Int32?, _ record: Result<ExitRecord?, RecordError>
    ) -> Recovery {
        Recovery.outcome(sameBoot: sameBoot, executor: executor, record: record, now: 99)
    }

    /// The exit record is the truth wherever it is there.
    @Test(arguments: [true, false], [nil, 4711])
    func aRecordIsTheEnd(sameBoot: Bool, executor: Int32?) {
        let found = outcome(sameBoot: sameBoot, executor: executor, .success(Self.record))
        #expect(found == .ended(.recorded(Self.record)))
    }

    @Test func anExecutorThatLivesHasItsTask() {
        #expect(outcome(sameBoot: true, executor: 4711, .success(nil)) == .running)
        #expect(outcome(sameBoot: true, executor: 4711, .failure(Self.damage)) == .running)
    }

    @Test func withoutExecutorAndRecordTheSupervisorIsLost() {
        guard case .supervisorLost(let end) = outcome(sameBoot: true, executor: nil, .success(nil)) else {
            Issue.record("the supervisor was not reported as lost")
            return
        }
        #expect(end.exitCode == 137)
        #expect(end.signal == SIGKILL)
        #expect(!end.oomKilled)
        #expect(end.endedAt == 99)
        #expect(end.error?.contains("supervisor (Executor) was killed") == true)
    }

    /// Whatever has the Executor's pid after a reboot, it is not the Executor.
    @Test(arguments: [nil, 4711] as [Int32?])
    func afterARebootATaskWithoutRecordHasEnded(executor: Int32?) {
        guard case .ended(let end) = outcome(sameBoot: false, executor: executor, .success(nil)) else {
            Issue.record("the task was not reported as ended")
            return
        }
        #expect(end.exitCode == 137)
        #expect(end.error == "the host was rebooted while the task ran; its exit status is lost")
    }

    @Test func aDamagedRecordIsSaidToBeDamaged() {
        for sameBoot in [true, false] {
            let end: TaskEnd? =
                switch outcome(sameBoot: sameBoot, executor: nil, .failure(Self.damage)) {
                case .ended(let end), .supervisorLost(let end): end
                case .running: nil
                }
            #expect(end?.error?.hasSuffix("; /run/x/exit: \(ExitRecordDamage.checksumMismatch.text)") == true)
            #expect(end?.exitCode == 137)
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
