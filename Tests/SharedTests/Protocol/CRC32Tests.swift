import Testing

@testable import Shared

@Suite struct CRC32Tests {
    /// The check value of CRC-32/ISO-HDLC, and what gzip's trailer bears for the other texts.
    @Test(
        arguments: [
            ("", 0), ("123456789", 0xCBF4_3926), ("a", 0xE8B7_BE43), ("abc", 0x3524_41C2),
            ("The quick brown fox jumps over the lazy dog", 0x414F_A339),
        ] as [(String, UInt32)])
    func knownVectors(text: String, checksum: UInt32) {
        #expect(CRC32.of(Array(text.utf8)) == checksum)
    }

    @Test func bytesOfAllValues() {
        #expect(CRC32.of(Array(0...255)) == 0x2905_8C73)
        #expect(CRC32.of([UInt8](repeating: 0, count: 32)) == 0x190A_55AD)
        #expect(CRC32.of([UInt8](repeating: 0xFF, count: 32)) == 0xFF6C_AB0B)
    }
}

extension CRC32 {
    static func of(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
}
