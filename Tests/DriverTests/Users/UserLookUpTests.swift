import Shared
import Testing

@testable import EventLoop
@testable import Host
@testable import Planning

/// No test waits for a time to pass: a limit of time is an hour, or has passed from the beginning.
@Suite(.hanging(after: 2)) struct UserLookUpTests {
    private static let hour: UInt64 = 3_600_000_000_000
    private static let alice = TaskUser(name: "alice", uid: 7, gid: 7, groups: [7, 8], home: "/home/alice")
    private static let root = TaskUser(name: "root", uid: 0, gid: 0, groups: [0, 4], home: "/root")

    private static let files: [String: String] = [
        "/etc/nsswitch.conf": "passwd: files sss\n",
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "/etc/group": "root:x:0:\nadm:x:4:root\n",
    ]

    private static func users(
        _ pool: BlockingPool = BlockingPool(), nanoseconds: UInt64 = hour, local: UInt64 = hour,
        _ resolve: @escaping @Sendable (String) -> Result<TaskUser, TaskUserError>
    ) throws -> UserLookUp {
        var users = UserLookUp(reactor: try Reactor())
        users.pool = pool
        users.pending = PendingLookUps()
        users.nanoseconds = nanoseconds
        users.localNanoseconds = local
        users.localAccounts = LocalAccounts { path in Self.files[path].map { Array($0.utf8) } }
        users.resolve = resolve
        return users
    }

    private static func outcome(of users: UserLookUp, _ name: String) async -> Result<TaskUser, TaskUserError> {
        do throws(TaskUserError) {
            return .success(try await users.user(name))
        } catch {
            return .failure(error)
        }
    }

    @Test func aLookupIsAnswered() async throws {
        let users = try Self.users { name in name == "alice" ? .success(Self.alice) : .failure(.notFound(name)) }
        #expect(try await users.user("alice") == Self.alice)
        await #expect(throws: TaskUserError.notFound("bob")) { try await users.user("bob") }
    }

    /// No name service is asked for a user that is made up by the host: such a task starts whatever hangs.
    @Test func aDynamicUserIsNotLookedUp() async throws {
        let users = try Self.users { .failure(.notFound($0)) }
        #expect(try await users.user("nomad-80000").uid == 80000)
    }

    // MARK: One lookup for a name

    /// Seen before: four starts of one user whose lookup hung kept all other users' from being looked up.
    @Test func allWhoAskForANameShareItsLookup() async throws {
        let gate = Gate()
        let pool = BlockingPool(.init(names: 2))
        let users = try Self.users(pool) { name in
            if name == "slow" { gate.pass() }
            return .success(Self.alice)
        }
        let asking = (0..<20).map { _ in Task { await Self.outcome(of: users, "slow") } }
        await gate.entered.reaches(1)
        #expect(try await users.user("alice") == Self.alice)
        #expect(gate.entered.count == 1)
        // One of them gives up: the others still get the answer.
        asking[7].cancel()
        #expect(await asking[7].value == .failure(.givenUp("slow")))
        gate.open()
        for asker in asking[..<7] + asking[8...] { #expect(await asker.value == .success(Self.alice)) }
        #expect(gate.entered.count == 1)
    }

    @Test func anAnswerIsNotKeptForLater() async throws {
        let calls = Counter()
        let users = try Self.users { _ in
            calls.add(1)
            return .success(Self.alice)
        }
        for number in 1...3 {
            _ = try await users.user("alice")
            #expect(calls.count == number)
        }
    }

    // MARK: Limits of time

    @Test func aLookupThatHangsEndsWithItsTime() async throws {
        let gate = Gate()
        let pool = BlockingPool()
        var users = try Self.users(pool) { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        let patient = Task { [users] in await Self.outcome(of: users, "alice") }
        await gate.entered.reaches(1)
        users.nanoseconds = 0
        #expect(await Self.outcome(of: users, "alice") == .failure(.noAnswer("alice", seconds: 0)))
        gate.open()
        #expect(await patient.value == .failure(.notFound("alice")))
    }

    /// Seen before: the name service was blamed for the lookup of a user whom nobody had asked for.
    @Test func oneThatHasNotBegunSaysSoAndIsWithdrawn() async throws {
        let gate = Gate()
        let pool = BlockingPool(.init(names: 2))
        var users = try Self.users(pool) { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        let hanging = ["slow-b", "slow-a"].map { name in Task { [users] in await Self.outcome(of: users, name) } }
        await gate.entered.reaches(2)
        users.nanoseconds = 0
        for _ in 0..<10 {
            #expect(
                await Self.outcome(of: users, "alice")
                    == .failure(.notLookedUp("alice", seconds: 0, others: ["slow-a", "slow-b"])))
        }
        #expect(pool.waitingCount == 0)
        gate.open()
        for task in hanging { _ = await task.value }
        #expect(gate.entered.count == 2)
    }

    @Test func aLookupThatHangsIsGivenUpWithItsTask() async throws {
        let gate = Gate()
        let users = try Self.users { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        let looking = Task { await Self.outcome(of: users, "alice") }
        await gate.entered.reaches(1)
        looking.cancel()
        #expect(await looking.value == .failure(.givenUp("alice")))
        gate.open()
    }

    // MARK: Users of the host's own files

    /// Seen before: root and nobody waited behind the lookups that hung.
    @Test func aLocalUserIsLookedUpWhileOthersHang() async throws {
        let gate = Gate()
        let users = try Self.users(BlockingPool(.init(names: 2))) { name in
            if name.hasPrefix("slow") { gate.pass() }
            return .success(Self.root)
        }
        let hanging = (0..<5).map { number in Task { await Self.outcome(of: users, "slow-\(number)") } }
        await gate.entered.reaches(2)
        #expect(try await users.user("root") == Self.root)
        #expect(try await users.user("0") == Self.root)
        #expect(gate.entered.count == 2)
        gate.open()
        for task in hanging { _ = await task.value }
    }

    /// The account is in the files, and a directory that does not answer is asked for its groups.
    @Test func aLocalUsersOwnLookupMayHang() async throws {
        let gate = Gate()
        let users = try Self.users(local: 0) { name in
            gate.pass()
            return .failure(.notFound(name))
        }
        nonisolated(unsafe) var reasons: [String] = []
        for name in ["root", "0"] {
            #expect(try await users.user(name) { reasons.append($0) } == Self.root)
        }
        #expect(reasons.count == 2 && reasons.allSatisfy { $0.contains("nsswitch.conf") })
        gate.open()
    }

    @Test func theErrorsSayWhoWasLookedUpAndWhatToDo() {
        let errors: [TaskUserError] = [
            .noAnswer("alice", seconds: 20), .notLookedUp("alice", seconds: 20, others: ["bob", "carol"]),
        ]
        for error in errors {
            for part in ["alice", "getpwnam", "20 s", "/etc/nsswitch.conf", "getent passwd"] {
                #expect(error.description.contains(part))
            }
            #expect(error.mayPass)
        }
        #expect(errors[0].description.contains("has not been answered"))
        #expect(errors[1].description.contains(#"could not begin within 20 s"#))
        #expect(errors[1].description.contains(#"("bob", "carol")"#))
        #expect(!TaskUserError.notFound("alice").mayPass)
    }
}

@Suite struct LocalAccountsTests {
    private static let passwd = """
        # comment
        root:x:0:0:root:/root:/bin/bash
        short:x:1
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
        alice:x:1000:100::/home/alice:/bin/sh
        7:x:1007:7:a number for a name:/seven:/bin/sh
        twin:x:1000:100::/twin:/bin/sh
        """
    private static let group = """
        users:x:100:alice
        sudo:x:27:bob,alice
        video:x:44:alic,alice2
        docker:x:999:alice,bob
        broken:x
        """

    private static func user(
        _ name: String, passwd: String = passwd, nsswitch: String = "passwd: files sss"
    ) -> TaskUser? {
        let files = ["/etc/passwd": passwd, "/etc/group": group, "/etc/nsswitch.conf": nsswitch]
        return LocalAccounts { path in files[path].map { Array($0.utf8) } }.user(name)
    }

    @Test func accountsAreRead() {
        #expect(Self.user("root") == TaskUser(name: "root", uid: 0, gid: 0, groups: [0], home: "/root"))
        #expect(
            Self.user("alice")
                == TaskUser(name: "alice", uid: 1000, gid: 100, groups: [100, 27, 999], home: "/home/alice"))
        for name in ["bob", "alic", "", "# comment", "short", "+", "99"] { #expect(Self.user(name) == nil) }
    }

    /// As `TaskUser.resolve` does it.
    @Test func aNumberIsANameFirstAndThenAUID() {
        #expect(Self.user("0")?.name == "root")
        #expect(Self.user("65534")?.name == "nobody")
        #expect(Self.user("1000")?.name == "alice")
        #expect(Self.user("7")?.uid == 1007)
        for name in ["00", "01000", "65535"] { #expect(Self.user(name) == nil) }
    }

    /// Lines of the service compat: what comes after them is not certain.
    @Test func nothingIsTakenAfterAReferenceToOtherServices() {
        let passwd = "root:x:0:0::/root:/bin/sh\n+@admins\nalice:x:1:1::/:/bin/sh\n"
        #expect(Self.user("root", passwd: passwd) != nil)
        #expect(Self.user("alice", passwd: passwd) == nil)
    }

    @Test(
        arguments: [
            ("", true), ("passwd: files", true), ("passwd:files ldap", true), ("  passwd:\tcompat systemd", true),
            ("passwd: files [NOTFOUND=return] sss", true), ("passwd: files # sss", true), ("group: sss files", true),
            ("#passwd: sss\npasswd: files", true), ("passwd: files[NOTFOUND=return]", true),
            ("passwd: sss files", false), ("passwd: ldap", false), ("passwd:", false), ("passwd: files2", false),
            ("passwd: files [SUCCESS=continue] sss", false), ("passwd: files [!UNAVAIL=continue] sss", false),
            ("passwd: files [UNAVAIL=return success=merge] sss", false),
        ] as [(String, Bool)])
    func theOrderOfServicesDecides(nsswitch: String, decides: Bool) {
        #expect(LocalAccounts.filesDecide(inNsswitch: Array(nsswitch.utf8)) == decides)
        #expect((Self.user("root", nsswitch: nsswitch) != nil) == decides)
    }

    /// The same account as the system has it.
    @Test func theHostsOwnFilesAreUnderstood() throws {
        let root = try #require(LocalAccounts().user("root"))
        let known = try TaskUser.resolve("root")
        #expect((root.uid, root.gid, root.home) == (known.uid, known.gid, known.home))
    }
}
