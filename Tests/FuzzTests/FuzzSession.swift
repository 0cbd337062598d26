#if FUZZ
    import Glibc
    import Testing

    /// libFuzzer's own main function, in its library that brings none (`LLVMFuzzerRunDriver`).
    @_silgen_name("LLVMFuzzerRunDriver")
    private func runLibFuzzer(
        _ count: UnsafeMutablePointer<CInt>,
        _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
        _ run: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
    ) -> CInt

    nonisolated(unsafe) private var chosen = FuzzTarget.messagePack

    /// One session of libFuzzer's, in the build for that (`make fuzz`): EXEC2_FUZZ is the target, EXEC2_FUZZ_OPTIONS
    /// libFuzzer's words. It ends the process.
    @Suite struct FuzzSession {
        @Test func run() throws {
            guard let name = getenv("EXEC2_FUZZ") else { return }
            chosen = try #require(FuzzTarget(rawValue: String(cString: name)), "no target of that name")
            let words = getenv("EXEC2_FUZZ_OPTIONS").map { String(cString: $0) } ?? ""
            let all = ["fuzz"] + words.split(separator: " ").map(String.init)
            let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: all.count + 1)
            for (index, word) in all.enumerated() { pointers[index] = strdup(word) }
            pointers[all.count] = nil
            var count = CInt(all.count)
            var vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = pointers
            exit(
                runLibFuzzer(&count, &vector) { bytes, count in
                    chosen.run(UnsafeRawBufferPointer(start: bytes, count: count))
                    return 0
                })
        }
    }
#endif
