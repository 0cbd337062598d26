import Testing

@testable import Shared

@Suite struct ExecReportTests {
    private static func decoded(_ report: ExecReport) -> ExecReport? {
        withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer in
            let frame = report.encode(into: buffer)
            var scanner = FrameScanner()
            return scanner.next(in: frame).flatMap { ExecReport.decode($0) }
        }
    }

    @Test(arguments: [
        ExecReport.ended(exitCode: 0, signal: 0), .ended(exitCode: 43, signal: 0), .ended(exitCode: 137, signal: 9),
        .failed(stage: 15, errno: .noSuchFile, subject: "/srv/www"),
        .failed(stage: 1, errno: .notPermitted, subject: ""),
    ])
    func comesBackAsItWas(_ report: ExecReport) {
        #expect(Self.decoded(report) == report)
    }

    @Test func aSubjectThatIsTooLongIsCutAtACharacter() throws {
        let long = String(repeating: "ä", count: 4000)
        guard case .failed(_, _, let subject)? = Self.decoded(.failed(stage: 15, errno: .noSuchFile, subject: long))
        else {
            Issue.record("the report did not come back")
            return
        }
        #expect(long.hasPrefix(subject))
        #expect(subject.utf8.count == ExecutorEvent.maximumSubject)
    }

    @Test func whatIsNoReportIsNone() {
        let nothing: [UInt8] = []
        #expect(nothing.withUnsafeBytes { ExecReport.decode($0) } == nil)
        let foreign: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
        #expect(foreign.withUnsafeBytes { ExecReport.decode($0) } == nil)
    }
}
