import Testing

@testable import HCLog
@testable import MessagePack
@testable import Planning

@Suite struct MessagePackDecoderTests {
    /// The encodings of the specification's table, each with its least and largest values.
    static let scalars: [([UInt8], MessagePackValue)] = [
        ([0xC0], .null), ([0xC2], .bool(false)), ([0xC3], .bool(true)),
        ([0x00], .int(0)), ([0x7F], .int(127)), ([0xE0], .int(-32)), ([0xFF], .int(-1)),
        ([0xCC, 0xFF], .int(255)), ([0xCD, 0x01, 0x00], .int(256)),
        ([0xCE, 0xFF, 0xFF, 0xFF, 0xFF], .int(4_294_967_295)),
        ([0xCF, 0, 0, 0, 0, 0, 0, 0, 5], .int(5)),
        ([0xCF, 0x7F, 255, 255, 255, 255, 255, 255, 255], .int(.max)),
        ([0xCF, 0x80, 0, 0, 0, 0, 0, 0, 0], .uint(1 << 63)),
        ([0xCF, 255, 255, 255, 255, 255, 255, 255, 255], .uint(.max)),
        ([0xD0, 0x80], .int(-128)), ([0xD0, 0x7F], .int(127)),
        ([0xD1, 0x80, 0], .int(-32768)), ([0xD2, 0x80, 0, 0, 0], .int(-2_147_483_648)),
        ([0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0], .int(.min)), ([0xD3, 0, 0, 0, 0, 0, 0, 0, 1], .int(1)),
        ([0xCA, 0x3F, 0x80, 0, 0], .float(1)), ([0xCA, 0xC0, 0x20, 0, 0], .float(-2.5)),
        ([0xCB, 0x40, 0x7F, 0x40, 0, 0, 0, 0, 0], .float(500)),
        ([0xA0], .string([])), ([0xA2, 0x68, 0x69], .string([0x68, 0x69])),
        ([0xD9, 1, 0x61], .string([0x61])), ([0xDA, 0, 1, 0x61], .string([0x61])),
        ([0xDB, 0, 0, 0, 1, 0x61], .string([0x61])),
        ([0xC4, 1, 9], .binary([9])), ([0xC5, 0, 1, 9], .binary([9])), ([0xC6, 0, 0, 0, 1, 9], .binary([9])),
        ([0xD4, 0xFE, 9], .ext(type: -2, data: [9])), ([0xD5, 1, 9, 8], .ext(type: 1, data: [9, 8])),
        ([0xD6, 1, 1, 2, 3, 4], .ext(type: 1, data: [1, 2, 3, 4])),
        ([0xD7, 1, 1, 2, 3, 4, 5, 6, 7, 8], .ext(type: 1, data: [1, 2, 3, 4, 5, 6, 7, 8])),
        ([0xC7, 1, 5, 9], .ext(type: 5, data: [9])), ([0xC8, 0, 1, 5, 9], .ext(type: 5, data: [9])),
        ([0xC9, 0, 0, 0, 1, 5, 9], .ext(type: 5, data: [9])),
        ([0xD8, 0] + [UInt8](repeating: 3, count: 16), .ext(type: 0, data: [UInt8](repeating: 3, count: 16))),
    ]

    @Test(arguments: scalars)
    func everyScalarEncodingIsRead(bytes: [UInt8], value: MessagePackValue) throws {
        #expect(try MessagePackDecoder.decode(bytes) == value)
    }

    @Test(arguments: [[0x92], [0xDC, 0, 2], [0xDD, 0, 0, 0, 2]] as [[UInt8]])
    func everyArrayHeaderIsRead(header: [UInt8]) throws {
        #expect(try MessagePackDecoder.decode(header + [1, 0xC0]) == .array([.int(1), .null]))
    }

    @Test(arguments: [[0x82], [0xDE, 0, 2], [0xDF, 0, 0, 0, 2]] as [[UInt8]])
    func everyMapHeaderIsReadInTheSendersOrder(header: [UInt8]) throws {
        let bytes = header + [0xA1, 0x62, 1, 0xA1, 0x61, 0x91, 2]
        let expected: MessagePackValue = .map([
            .init(key: .string([0x62]), value: .int(1)), .init(key: .string([0x61]), value: .array([.int(2)])),
        ])
        #expect(try MessagePackDecoder.decode(bytes) == expected)
    }

    static let nested: [UInt8] = [
        0x82, 0xA1, 0x62, 0x93, 1, 2, 3, 0xA1, 0x61, 0x81, 1, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0,
    ]

    /// Every proper prefix of every encoding is an error that says "truncated", never a value or a crash.
    @Test(arguments: scalars.map(\.0) + [nested])
    func everyPrefixIsTruncated(bytes: [UInt8]) {
        for count in 0..<bytes.count {
            let error = #expect(throws: MessagePackError.self) {
                try MessagePackDecoder.decode(Array(bytes[..<count]))
            }
            guard case .truncated(_, let needed, let available) = error?.problem else {
                Issue.record("\(count) of \(bytes): \(String(describing: error))")
                continue
            }
            #expect(needed > UInt64(available))
        }
    }

    /// A few bytes that claim up to 4 Gi of items must fail at once, and before anything is allocated.
    @Test(
        arguments: [
            ([0xDD, 0xFF, 0xFF, 0xFF, 0xFF], UInt64(0xFFFF_FFFF)), ([0xDF, 0xFF, 0xFF, 0xFF, 0xFF], 0x1_FFFF_FFFE),
            ([0xDB, 0xFF, 0xFF, 0xFF, 0xFF], 0xFFFF_FFFF), ([0xC6, 0xFF, 0xFF, 0xFF, 0xFF], 0xFFFF_FFFF),
            ([0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 0], 0xFFFF_FFFF), ([0xDC, 0xFF, 0xFF, 1, 2], 0xFFFF), ([0x8F, 1, 1], 30),
        ] as [([UInt8], UInt64)])
    func claimedSizesAreComparedWithWhatIsThere(bytes: [UInt8], needed: UInt64) {
        let error = #expect(throws: MessagePackError.self) { try MessagePackDecoder.decode(bytes) }
        guard case .truncated(_, needed, _) = error?.problem else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.offset == 0)
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> [UInt8] { [UInt8](repeating: 0x91, count: depth) + [0xC0] }
        #expect(throws: Never.self) { try MessagePackDecoder.decode(nested(64)) }
        #expect(throws: MessagePackError(offset: 64, problem: .tooDeep(limit: 64))) {
            try MessagePackDecoder.decode(nested(65))
        }
        #expect(throws: MessagePackError(offset: 64, problem: .tooDeep(limit: 64))) {
            try MessagePackDecoder.decode(nested(1_000_000))
        }
        let maps = (0..<130).map { UInt8($0 % 2 == 0 ? 0x81 : 0x01) } + [0xC0]
        #expect(throws: MessagePackError(offset: 128, problem: .tooDeep(limit: 64))) {
            try MessagePackDecoder.decode(maps)
        }
    }

    @Test func theNumberOfValuesIsBounded() {
        #expect(throws: MessagePackError(offset: 4, problem: .tooManyValues(limit: 4))) {
            try MessagePackDecoder.decode([0x94, 0, 1, 2, 3], bounds: .init(values: 4))
        }
        let header: [UInt8] = [0xDD, 0x00, 0x20, 0x00, 0x00]
        let many = header + [UInt8](repeating: 0xC0, count: 0x20_0000)
        #expect(throws: MessagePackError(offset: 5 + (1 << 20) - 1, problem: .tooManyValues(limit: 1 << 20))) {
            try MessagePackDecoder.decode(many)
        }
    }

    @Test func bytesAfterTheValueAreAnError() {
        #expect(throws: MessagePackError(offset: 1, problem: .trailingBytes(2))) {
            try MessagePackDecoder.decode([0xC0, 0xC0, 0xC0])
        }
    }

    @Test func theReservedByteIsAnError() {
        #expect(throws: MessagePackError(offset: 2, problem: .reservedByte)) {
            try MessagePackDecoder.decode([0x92, 1, 0xC1])
        }
    }

    @Test func aKeyThatIsThereTwiceIsAnError() {
        #expect(throws: MessagePackError(offset: 4, problem: .duplicateKey(#""a""#))) {
            try MessagePackDecoder.decode([0x82, 0xA1, 0x61, 1, 0xA1, 0x61, 2])
        }
        // The same name as str and as bin.
        #expect(throws: MessagePackError(offset: 4, problem: .duplicateKey(#""a""#))) {
            try MessagePackDecoder.decode([0x82, 0xA1, 0x61, 1, 0xC4, 1, 0x61, 2])
        }
        #expect(throws: Never.self) {
            try MessagePackDecoder.decode([0x82, 0xA1, 0x61, 1, 0x81, 0xA1, 0x61, 2, 3])
        }
    }

    /// Any bytes are a value or an error: what is asked of the decoder is to return.
    @Test func arbitraryBytesNeverCrash() {
        var generator = SystemRandomNumberGenerator()
        var values = 0
        for round in 0..<20_000 {
            let bytes = (0..<(round % 64)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if let value = try? MessagePackDecoder.decode(bytes) {
                values += 1
                #expect(value.description.utf8.count < 2000)
            }
        }
        #expect(values > 0)
    }

    @Test func errorsSayWhereAndWhat() {
        let error = #expect(throws: MessagePackError.self) { try MessagePackDecoder.decode([0x91, 0xA5, 0x61]) }
        #expect(error?.description == "at byte 1: expected a string, at least 5 bytes, but only 1 are left")
    }
}
