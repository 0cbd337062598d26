import Shared
import Testing

@testable import Commands
@testable import Host
@testable import Planning

@Suite struct CheckCommandTests {
    private func check(_ name: String, ok: Bool, remedy: String? = nil) -> HostCheck {
        HostCheck(name: name, health: ok ? .healthy : .unhealthy, detail: "detail of \(name)", remedy: remedy)
    }

    @Test func aReportHasALineForEachCheck() {
        let text = CheckCommand.report(
            [check("root", ok: true), check("cgroup v2", ok: true)], colour: false)
        #expect(
            text == """
                ok    root       detail of root
                ok    cgroup v2  detail of cgroup v2

                This host meets the requirements of the exec2 driver.

                """)
    }

    @Test func aRemedyStandsUnderTheLastOfThoseThatShareIt() {
        let text = CheckCommand.report(
            [
                check("a", ok: false, remedy: "do this"), check("b", ok: false, remedy: "do this"),
                check("c", ok: true), check("d", ok: false, remedy: "do that"),
            ], colour: false)
        #expect(
            text == """
                FAIL  a  detail of a
                FAIL  b  detail of b
                      -> do this
                ok    c  detail of c
                FAIL  d  detail of d
                      -> do that

                3 of 4 checks failed.

                """)
    }

    @Test func marksAreColouredForATerminal() {
        let text = CheckCommand.report([check("a", ok: true), check("b", ok: false)], colour: true)
        #expect(text.hasPrefix("\u{1B}[32mok  \u{1B}[0m  a  detail of a\n\u{1B}[31mFAIL\u{1B}[0m  b  "))
    }

    @Test func asJSONThereIsAnObjectForEachCheck() {
        let text = CheckCommand.json([check("a", ok: true), check("b", ok: false, remedy: "do \"this\"")])
        #expect(
            text == """
                {"fit": false, "version": "\(driverVersion)", "checks": [
                  {"name": "a", "ok": true, "detail": "detail of a", "remedy": null},
                  {"name": "b", "ok": false, "detail": "detail of b", "remedy": "do \\"this\\""}
                ]}

                """)
    }

    @Test(arguments: [
        (StateDirectoryCheck.Facts.Content.missing, true), (.tasks(0, others: 0), true),
        (.tasks(2, others: 0), true), (.tasks(0, others: 1), true), (.tasks(1, others: 2), true),
        (.unusable(.unusable("/srv/state", .notDirectory)), false),
        (.ofAnotherUser(4711), true), (.unreadable(.permissionDenied), false),
    ])
    func theStateDirectoryIsNamed(_ content: StateDirectoryCheck.Facts.Content, ok: Bool) {
        let check = StateDirectoryCheck.check(.init(path: "/srv/state", content: content))
        #expect(check.ok == ok && check.detail.contains("/srv/state"))
        #expect((check.remedy == nil) == ok)
    }
}
