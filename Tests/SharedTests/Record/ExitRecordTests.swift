import CLinux
import Testing

@testable import Shared

@Suite struct ExitRecordTests {
    private static let full = ExitRecord(
        taskDirectory: "0f1e+web+1a2b3c4d", exitCode: 137, signal: 9, oomKilled: true,
        startedAt: 1_700_000_000_123_456_789, endedAt: 1_700_000_001_987_654_321, pid: 4_194_304,
        userTime: 1_500_000, systemTime: 250_000, maxRSS: 65_536, execError: .permissionDenied,
        execProgram: "/usr/bin/ü", survivors: true, memoryLimit: 1 << 30, memoryPeak: .max,
        endedSinceBoot: -5_000_000_000)
    private static let plain = ExitRecord(
        taskDirectory: "a", exitCode: 0, signal: 0, oomKilled: false, startedAt: 0, endedAt: 0, pid: 0)

    private func encode(_ record: ExitRecord) -> [UInt8] {
        withUnsafeTemporaryAllocation(byteCount: ExitRecord.reservedSize, alignment: 16) {
            Array(record.encode(into: $0))
        }
    }

    private func decode(_ bytes: [UInt8]) throws(ExitRecordDamage) -> ExitRecord {
        try bytes.span.bytes.withUnsafeBytes { (bytes) throws(ExitRecordDamage) in
            try ExitRecord.decode(bytes)
        }
    }

    @Test(arguments: [full, plain])
    func recordsReturn(record: ExitRecord) throws {
        #expect(try decode(encode(record)) == record)
    }

    @Test(arguments: [0, 1, 7, 126, 127, 255, Int32.min, .max])
    func everyExitCodeReturns(code: Int32) throws {
        var record = Self.plain
        record.exitCode = code
        #expect(try decode(encode(record)).exitCode == code)
    }

    @Test func theHeaderIsTheDocumentedOne() {
        let bytes = encode(Self.full)
        let body = Array(bytes[20...])
        let checksum = CRC32.of(body)
        #expect(Array(bytes[..<8]) == Array("EXEC2END".utf8))
        #expect(Array(bytes[8..<12]) == [1, 0, 0, 0])
        #expect(Array(bytes[12..<16]) == [UInt8(body.count & 0xFF), UInt8(body.count >> 8), 0, 0])
        #expect(Array(bytes[16..<20]) == (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) })
    }

    @Test func everyTruncationIsNoticed() {
        let bytes = encode(Self.full)
        for length in 0..<bytes.count {
            let expected: ExitRecordDamage = length < 20 ? .tooShort(bytes: length) : .lengthMismatch
            #expect(throws: expected, "\(length) bytes") { try decode(Array(bytes.prefix(length))) }
        }
    }

    @Test(arguments: [full, plain])
    func everyFlippedBitIsNoticed(record: ExitRecord) {
        let bytes = encode(record)
        for index in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[index] ^= 1 << UInt8(bit)
                #expect(throws: ExitRecordDamage.self, "byte \(index), bit \(bit)") { try decode(damaged) }
            }
        }
    }

    @Test func bytesBehindARecordAreNoticed() {
        #expect(throws: ExitRecordDamage.lengthMismatch) { try decode(encode(Self.full) + [0]) }
    }

    /// What a crash may leave of the reserved space.
    @Test func reservedSpaceIsNoRecord() {
        #expect(throws: ExitRecordDamage.notARecord) {
            try decode([UInt8](repeating: 0, count: ExitRecord.reservedSize))
        }
        #expect(throws: ExitRecordDamage.lengthMismatch) {
            let bytes = encode(Self.full)
            return try decode(bytes + [UInt8](repeating: 0, count: ExitRecord.reservedSize - bytes.count))
        }
    }

    @Test func anotherFormatVersionIsSaidToBeOne() {
        var bytes = encode(Self.full)
        bytes[8] = 2
        let error = #expect(throws: ExitRecordDamage.newerFormat(version: 2)) { try decode(bytes) }
        #expect(error?.text == "the exit record has the unknown format version 2")
    }

    @Test func contentThatIsNoMessageIsSaidToBeNone() {
        let body: [UInt8] = [0xFF]
        let checksum = CRC32.of(body)
        let bytes =
            Array("EXEC2END".utf8) + [1, 0, 0, 0, 1, 0, 0, 0]
            + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) } + body
        #expect(throws: ExitRecordDamage.undecodable) { try decode(bytes) }
    }

    /// A checksummed record of another task is a valid one, and bears the other's name.
    @Test func aRecordNamesItsTask() throws {
        var other = Self.full
        other.taskDirectory = "0f1e+web+other"
        #expect(try decode(encode(other)).taskDirectory == "0f1e+web+other")
    }

    @Test func theLongestTextsStillFitTheReservedSpace() throws {
        var record = Self.full
        record.taskDirectory = String(repeating: "f", count: 255)
        record.execProgram = String(repeating: "p", count: 5000)
        record.startedAt = .min
        record.endedAt = .min
        record.exitCode = .min
        let bytes = encode(record)
        #expect(!bytes.isEmpty && bytes.count <= ExitRecord.reservedSize)
        let decoded = try decode(bytes)
        #expect(decoded.taskDirectory == record.taskDirectory)
        #expect(decoded.execProgram == String(repeating: "p", count: 1500))
    }

    @Test func aBufferThatIsTooSmallGivesNothing() {
        let count = encode(Self.full).count
        withUnsafeTemporaryAllocation(byteCount: count - 1, alignment: 16) {
            #expect(Self.full.encode(into: $0).isEmpty)
        }
    }

    @Test func everyDamageHasItsSentence() {
        let all: [ExitRecordDamage] = [
            .tooShort(bytes: 3), .notARecord, .newerFormat(version: 9), .lengthMismatch, .checksumMismatch,
            .undecodable,
        ]
        #expect(Set(all.map(\.text)).count == all.count)
        #expect(ExitRecordDamage.tooShort(bytes: 3).text == "the exit record is cut off after 3 bytes")
    }
}
