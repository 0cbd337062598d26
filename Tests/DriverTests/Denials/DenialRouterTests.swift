import Testing

@testable import Planning
@testable import Supervision

@Suite struct DenialRouterTests {
    private let denial = LandlockDenial(blockers: ["fs.read_file"], path: Array("/x".utf8))

    private func domain(_ number: UInt64, by pid: Int32 = 7, name: String = "exec2-executor") -> LandlockRecord {
        .domain(number, creator: pid, name: Array(name.utf8))
    }

    /// The kernel writes the record of the domain behind that of its first denial.
    @Test func denialsWaitForTheirTask() {
        var router = DenialRouter()
        #expect(router.take(.access(domain: 1, denial), at: 0) == nil)
        #expect(router.unresolved.isEmpty)
        #expect(router.take(domain(1), at: 0) == nil)
        #expect(router.unresolved.map(\.domain) == [1])
        #expect(router.unresolved.first?.creator == .init(pid: 7, isExecutors: true))
        #expect(router.take(.access(domain: 1, denial), at: 1) == nil)
        #expect(router.resolve(1, to: "a") == [denial, denial])
        #expect(router.unresolved.isEmpty && router.resolve(1, to: "b") == [])
        #expect(router.take(.access(domain: 1, denial), at: 2)?.task == "a")
        _ = router.take(.ended(domain: 1), at: 3)
        #expect(router.take(.access(domain: 1, denial), at: 4) == nil)
    }

    /// Ended before anybody has looked for its process.
    @Test func aShortTaskIsToldToo() {
        var router = DenialRouter()
        for record in [.access(domain: 1, denial), domain(1), .ended(domain: 1)] { _ = router.take(record, at: 0) }
        #expect(router.resolve(1, to: "a") == [denial])
    }

    /// What a program has made for itself is none of the driver's.
    @Test func aSandboxInATaskIsForgotten() {
        var router = DenialRouter()
        _ = router.take(.access(domain: 1, denial), at: 0)
        _ = router.take(domain(1, name: "chromium"), at: 0)
        #expect(router.unresolved.map(\.creator.isExecutors) == [false])
        router.prune(at: 1) { _ in true }
        #expect(router.unresolved.isEmpty)
    }

    @Test func whatNobodyAsksForIsForgotten() {
        var router = DenialRouter()
        _ = router.take(domain(1), at: 0)
        _ = router.take(domain(2), at: DenialRouter.maximumAge)
        router.prune(at: DenialRouter.maximumAge) { _ in true }
        #expect(router.unresolved.map(\.domain) == [2])
        _ = router.resolve(2, to: "a")
        router.prune(at: DenialRouter.maximumAge) { _ in false }
        #expect(router.take(.access(domain: 2, denial), at: 0) == nil)
    }

    /// A task can make any number of records, and those of others are not lost by that for long.
    @Test func memoryIsBounded() {
        var router = DenialRouter()
        for number in 0..<10_000 { _ = router.take(domain(UInt64(number)), at: UInt64(number)) }
        #expect(router.unresolved.count == DenialRouter.maximumWaiting)
        #expect(router.unresolved.contains { $0.domain == 9_999 })
        for _ in 0..<10_000 { _ = router.take(.access(domain: 9_999, denial), at: 0) }
        #expect(router.resolve(9_999, to: "a").count == DenialLedger.maximumOfTask + 1)
    }

    /// A task's program can be named like an Executor's child, and make sandboxes for as long as it runs.
    @Test func domainsOfATaskAreBounded() {
        var router = DenialRouter()
        for number in UInt64(0)..<1000 {
            for record in [domain(number), .access(domain: number, denial), .ended(domain: number)] {
                _ = router.take(record, at: 0)
            }
            #expect(router.resolve(number, to: "a") == [denial])
        }
        #expect(router.size == 0)
        for number in UInt64(0)..<1000 {
            _ = router.take(domain(number), at: 0)
            _ = router.resolve(number, to: "a")
        }
        #expect(router.size == DenialRouter.maximumOfTask)
        _ = router.take(domain(2000), at: 0)
        _ = router.resolve(2000, to: "b")
        #expect(router.take(.access(domain: 2000, denial), at: 0)?.task == "b")
        for number in UInt64(0)..<1000 { _ = router.take(.ended(domain: number), at: 0) }
        _ = router.take(domain(3000), at: 0)
        _ = router.resolve(3000, to: "a")
        #expect(router.size == 2)
    }

    @Test func theCgroupOfVersion2IsFound() {
        func path(_ text: String) -> String? {
            DenialReader.unifiedCgroup(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(path("0::/nomad.slice/x.scope\n") == "/nomad.slice/x.scope")
        #expect(path("12:cpuset:/a\n1:name=systemd:/b\n0::/c\n") == "/c")
        #expect(path("10::/a\n") == nil && path("") == nil)
    }
}
