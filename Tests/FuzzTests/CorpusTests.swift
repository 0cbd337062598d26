import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Planning

/// Every seed of the corpus, and with it every input that ever made a target fail.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func everySeedIsRead(target: FuzzTarget) throws {
        let directory = corpus(of: target)
        let names = try #require(DirectoryListing.names(in: directory), "no corpus at \(directory)")
        #expect(names.count >= 4, "\(directory) has \(names.count) seeds")
        for name in names {
            let bytes = try HostFile.read(directory + "/" + name)
            bytes.withUnsafeBytes { target.run($0) }
            // Cut off at every length, and with each byte another one: what a corpus of a few hundred
            // bytes a seed allows in a moment.
            for length in stride(from: 0, to: min(bytes.count, 512), by: 1) {
                bytes[..<length].withUnsafeBytes { target.run($0) }
                var changed = bytes
                changed[length] ^= 0xFF
                changed.withUnsafeBytes { target.run($0) }
            }
        }
    }

    @Test func everyCorpusHasItsTarget() throws {
        let names = try #require(DirectoryListing.names(in: corpusDirectory))
        #expect(Set(names) == Set(FuzzTarget.allCases.map(\.rawValue)))
    }
}

let corpusDirectory = String(#filePath.dropLast("FuzzTests/CorpusTests.swift".count)) + "fuzz/corpus"

func corpus(of target: FuzzTarget) -> String { corpusDirectory + "/" + target.rawValue }
