import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Planning

/// Every seed of the corpus, and with it every input that ever made a target fail.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func everySeedIsRead(target: FuzzTarget) throws {
        let folder = corpus(of: target)
        let names = try #require(FolderList.names(in: folder), "no corpus at \(folder)")
        #expect(names.count >= 4, "\(folder) has \(names.count) seeds")
        for name in names {
            let bytes = try HostFile.read(folder + "/" + name)
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
        let names = try #require(FolderList.names(in: corpusFolder))
        #expect(Set(names) == Set(FuzzTarget.allCases.map(\.rawValue)))
    }
}

let corpusFolder = String(#filePath.dropLast("FuzzTests/CorpusTests.swift".count)) + "fuzz/corpus"

func corpus(of target: FuzzTarget) -> String { corpusFolder + "/" + target.rawValue }
