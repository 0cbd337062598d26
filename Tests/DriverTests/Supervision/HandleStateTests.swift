import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Planning
@testable import Supervision

@Suite struct HandleStateTests {
    private static let full = HandleState(
        bootID: "5f0c", executorPid: 4711, executorStartTime: .max, stateDirectory: "/run/x", directory: "a+web+1",
        taskPid: 4712, startedAt: 1_700_000_000_123_456_789, cgroup: "/sys/fs/cgroup/x.scope",
        taskID: "a/web/1",
        taskName: "web")

    @Test func aHandleReturns() {
        #expect(HandleState(driverState: Self.full.encoded()) == Self.full)
        var minimum = HandleState()
        minimum.bootID = "b"
        #expect(HandleState(driverState: minimum.encoded()) == minimum)
    }

    @Test func aHandleOfANewerVersionIsReadAsFarAsItIsKnown() {
        // Fields 1 (version) and 31.
        let newer = Self.full.encoded() + [0x08, 9, 0xFA, 0x01, 1, 0]
        #expect(HandleState(driverState: newer) == Self.full)
    }

    @Test func whatIsNoHandleIsNone() {
        #expect(HandleState(driverState: []) == nil)
        #expect(HandleState(driverState: [0xFF]) == nil)
        #expect(HandleState(driverState: Array("{\"pid\": 1}".utf8)) == nil)
        #expect(HandleState(driverState: HandleState().encoded()) == nil, "no boot id")
        #expect(HandleState(driverState: [0x12, 1, 0x62]) == nil, "no version")
    }

    @Test func everyTruncationIsNoneOrLacksFieldsAtItsEnd() {
        let bytes = Self.full.encoded()
        for length in 0..<bytes.count {
            guard let state = HandleState(driverState: Array(bytes.prefix(length))) else { continue }
            #expect(state != Self.full)
            #expect(state.bootID == Self.full.bootID)
        }
    }

    @Test func theIdentityFileIsAFrame() throws {
        let place = try TemporaryDirectory()
        let directory = TaskStateDirectory(stateDirectory: place.path, name: "a+web")
        try #require(mkdir(directory.path, 0o700) == 0)
        defer { _ = directory.remove() }
        #expect(HandleState(identityIn: directory) == nil)

        let payload = Self.full.encoded()
        let whole = withUnsafeTemporaryAllocation(byteCount: Frame.maximumSize, alignment: 16) { buffer in
            buffer.baseAddress?.advanced(by: Frame.headerSize).copyMemory(
                from: payload, byteCount: payload.count)
            return Array(Frame.seal(buffer, payload: payload.count))
        }
        func write(_ bytes: [UInt8]) throws {
            let file = open(directory.path + "/executor", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            try #require(file >= 0)
            defer { close(file) }
            try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
        }
        try write(whole)
        // Where the directory is counts, not what it says of itself.
        var expected = Self.full
        expected.stateDirectory = place.path
        expected.directory = "a+web"
        #expect(HandleState(identityIn: directory) == expected)
        for length in 0..<whole.count {
            try write(Array(whole.prefix(length)))
            #expect(HandleState(identityIn: directory) == nil, "\(length) bytes")
        }
    }

    @Test func aBootHasAnIDOfTheKernels() {
        #expect(Boot.id.count == 36)
        #expect(Boot.id.allSatisfy { $0 == "-" || $0.isHexDigit })
    }
}

@Suite struct ProcessFactsTests {
    @Test func aLivingProcessKeepsItsStartTime() throws {
        let start = try #require(ProcessFacts.startTime(of: getpid()))
        #expect(start > 0)
        #expect(ProcessFacts.startTime(of: getpid()) == start)
        #expect(try #require(ProcessFacts.startTime(of: 1)) <= start)
    }

    @Test(arguments: [0, -1, Int32.max])
    func nobodyHasNoStartTime(pid: Int32) {
        #expect(ProcessFacts.startTime(of: pid) == nil)
    }
}
