import CLinux
import Glibc
import Shared
import Testing

@testable import EventLoop
@testable import Supervision

@Suite struct LowDescriptorsTests {
    @Test func nothingIsLentBeforeItIsReserved() {
        let low = LowDescriptors()
        let lends = low.lend([0]) != nil
        #expect(!lends)
        #expect(low.freeCount == 0)
    }

    @Test func copiesStandAtLowNumbersUntilTheLoanEnds() throws {
        let low = LowDescriptors(700..<710)
        low.reserve()
        let most = low.freeCount
        try #require(most == 10)
        low.reserve()
        #expect(low.freeCount == most)
        var ends: [Int32] = [-1, -1]
        try #require(exec2_pipe2(&ends, O_CLOEXEC) == 0)
        let (first, second) = (ends[0], ends[1])
        defer { close(first) }
        var lent: [Int32] = []
        do {
            guard let loan = low.lend([first, second]) else {
                Issue.record("nothing was lent")
                return
            }
            lent = Array(loan.numbers.values)
            #expect(Set(loan.numbers.keys) == [first, second])
            #expect(lent.allSatisfy { (700..<710).contains($0) })
            #expect(low.freeCount == most - 2)
            let copy = try #require(loan.numbers[second])
            #expect(write(copy, "x", 1) == 1)
            var byte: UInt8 = 0
            #expect(read(first, &byte, 1) == 1)
            #expect(fcntl(copy, F_GETFD) == FD_CLOEXEC)
        }
        #expect(low.freeCount == most)
        // Nothing is left of the copies: with the original the pipe is closed.
        close(second)
        var byte: UInt8 = 0
        #expect(read(first, &byte, 1) == 0)
        // The numbers are not free for anything else.
        #expect(lent.allSatisfy { fcntl($0, F_GETFD) == FD_CLOEXEC })
    }

    /// Otherwise tasks would find numbers in use that are free (CVE-2024-45025).
    @Test func nothingIsLentWhereTheKernelCopiesWrong() {
        let low = LowDescriptors(740..<750) { _, _ in false }
        low.reserve()
        #expect(low.freeCount == 0)
        let lends = low.lend([0]) != nil
        #expect(!lends)
        #expect((Int32(740)..<750).allSatisfy { fcntl($0, F_GETFD) == -1 })
    }

    @Test func tooManyAreNotLent() throws {
        let low = LowDescriptors(720..<730)
        low.reserve()
        let most = low.freeCount
        try #require(most == 10)
        let lendsTooMany = low.lend(Set(0...Int32(most))) != nil
        #expect(!lendsTooMany)
        // One that is not open: what was lent for the others comes back.
        let lendsClosed = low.lend([0, 1 << 20]) != nil
        #expect(!lendsClosed)
        #expect(low.freeCount == most)
    }
}
