import Testing

@testable import Shared

@Suite struct FrameScannerTests {
    private static let first = frame([1, 2, 3])
    private static let second = frame(Array("second".utf8))

    @Test func theLayoutIsTheDocumentedOne() {
        // Magic, length, CRC-32 of "123456789", payload.
        #expect(
            frame(Array("123456789".utf8)) == [0xE2, 0x45, 9, 0, 0x26, 0x39, 0xF4, 0xCB]
                + Array("123456789".utf8))
    }

    @Test(arguments: [0, 1, 2, 255, 256, Frame.maximumPayload])
    func payloadsOfEveryLengthReturn(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
        let result = scan(frame(payload) + frame(payload))
        #expect(result.payloads == [payload, payload])
        #expect(result.garbage == 0)
    }

    @Test func aFrameIsAtMostWhatAPipeTakesAtOnce() {
        #expect(Frame.maximumSize == 4096)
        #expect(frame([UInt8](repeating: 7, count: Frame.maximumPayload)).count == 4096)
    }

    @Test func nothingAndLessThanAHeaderAreNoFrame() {
        for length in 0..<Frame.headerSize {
            let result = scan(Array(Self.first.prefix(length)))
            #expect(result.payloads.isEmpty)
            #expect(result.garbage == length)
        }
    }

    /// A writer killed in the middle of a write, at every byte; the next frame is found all the same.
    @Test func afterATornFrameTheNextIsFound() {
        for length in 0..<Self.first.count {
            let result = scan(Array(Self.first.prefix(length)) + Self.second + Self.first)
            #expect(result.payloads == [Array("second".utf8), [1, 2, 3]], "torn after \(length) bytes")
            #expect(result.garbage == length)
        }
    }

    @Test func aTornLastFrameIsNone() {
        for length in 0..<Self.second.count {
            let result = scan(Self.first + Self.second.prefix(length))
            #expect(result.payloads == [[1, 2, 3]])
            #expect(result.garbage == length)
        }
    }

    @Test func everyFlippedBitIsNoticed() {
        for index in Self.second.indices {
            for bit in 0..<8 {
                var damaged = Self.second
                damaged[index] ^= 1 << UInt8(bit)
                let result = scan(damaged + Self.first)
                #expect(result.payloads == [[1, 2, 3]], "byte \(index), bit \(bit)")
                #expect(result.garbage == damaged.count)
            }
        }
    }

    @Test(arguments: [1, 2, 7, 8, 9, 100, 4096, 9000])
    func foreignBytesBeforeAndBetweenArePassedOver(count: Int) {
        var numbers = SeededNumbers(seed: UInt64(count))
        let noise = numbers.bytes(count)
        let result = scan(noise + Self.first + noise + Self.second + noise)
        #expect(result.payloads == [[1, 2, 3], Array("second".utf8)])
        #expect(result.garbage == 3 * count)
    }

    /// Bytes that begin as a frame does and claim what follows, the real frame included.
    @Test(arguments: [0, 1, 11, 12, 200, 4088, 4089, 65535])
    func aFalseHeaderHidesNoFrame(claimed: Int) {
        let header: [UInt8] = [0xE2, 0x45, UInt8(claimed & 0xFF), UInt8(claimed >> 8), 1, 2, 3, 4]
        let result = scan(header + Self.first + [UInt8](repeating: 0, count: 5000) + Self.second)
        #expect(result.payloads == [[1, 2, 3], Array("second".utf8)])
        #expect(result.garbage == header.count + 5000)
    }

    @Test func aLengthBeyondTheGreatestIsNoFrame() {
        let length = Frame.maximumPayload + 1
        let payload = [UInt8](repeating: 9, count: length)
        let checksum = CRC32.of(payload)
        let header: [UInt8] =
            [0xE2, 0x45, UInt8(length & 0xFF), UInt8(length >> 8)]
            + (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) }
        #expect(scan(header + payload).payloads.isEmpty)
    }

    @Test func aFrameInAFrameIsItsPayload() {
        let result = scan(frame(Self.first))
        #expect(result.payloads == [Self.first])
        #expect(result.garbage == 0)
    }

    @Test func randomBytesAreNoFramesAndNoTrap() {
        var numbers = SeededNumbers(seed: 2)
        for _ in 0..<200 {
            var bytes = numbers.bytes(Int.random(in: 0...2000, using: &numbers))
            // Makes headers likely.
            for index in bytes.indices.dropLast(3) where numbers.next() % 16 == 0 {
                bytes.replaceSubrange(
                    index...index + 3, with: [0xE2, 0x45, bytes[index + 2], bytes[index + 3] & 3])
            }
            let result = scan(bytes)
            #expect(
                result.garbage + result.payloads.reduce(0) { $0 + Frame.headerSize + $1.count } == bytes.count
            )
            #expect(result.payloads.isEmpty)
        }
    }
}
