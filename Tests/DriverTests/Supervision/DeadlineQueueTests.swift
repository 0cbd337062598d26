import Testing

@testable import EventLoop
@testable import Planning

@Suite struct DeadlineQueueTests {
    private func drain(_ queue: inout DeadlineQueue) -> [UInt64] {
        var tokens: [UInt64] = []
        while let token = queue.removeFirst() { tokens.append(token) }
        return tokens
    }

    @Test func anEmptyQueueHasNothing() {
        var queue = DeadlineQueue()
        #expect(queue.first == nil)
        #expect(drain(&queue).isEmpty)
        queue.remove(1)
        #expect(queue.first == nil)
    }

    @Test func deadlinesComeInOrder() {
        var queue = DeadlineQueue()
        for (deadline, token) in [(50, 1), (10, 2), (40, 3), (20, 4), (30, 5)] as [(UInt64, UInt64)] {
            _ = queue.insert(deadline, token)
        }
        #expect(queue.first == 10)
        #expect(drain(&queue) == [2, 4, 5, 3, 1])
        #expect(queue.first == nil)
    }

    @Test func insertTellsWhetherToWakeTheWaiter() {
        var queue = DeadlineQueue()
        let deadlines: [(UInt64, UInt64)] = [(100, 1), (200, 2), (100, 3), (99, 4), (0, 5), (.max, 6)]
        let answers = deadlines.map { queue.insert($0.0, $0.1) }
        #expect(answers == [true, false, false, true, true, false])
    }

    @Test func removedDeadlinesNeverPass() {
        var queue = DeadlineQueue()
        for token in 1...9 as ClosedRange<UInt64> { _ = queue.insert(token * 10, token) }
        for token in [1, 5, 9, 9, 77] as [UInt64] { queue.remove(token) }
        #expect(queue.first == 20)
        #expect(drain(&queue) == [2, 3, 4, 6, 7, 8])
    }

    @Test func equalDeadlinesAllPass() {
        var queue = DeadlineQueue()
        for token in 0..<100 as Range<UInt64> { _ = queue.insert(7, token) }
        #expect(Set(drain(&queue)) == Set(0..<100))
    }

    /// Against a plain sorted list.
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func randomUseAgreesWithASortedList(seed: UInt64) {
        var state = seed
        func random(_ below: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % below
        }
        var queue = DeadlineQueue()
        var expected: [UInt64: UInt64] = [:]
        var nextToken: UInt64 = 0
        for _ in 0..<20_000 {
            switch random(5) {
            case 0, 1:
                let deadline = random(500)
                let minimum = expected.values.min()
                let isFirst = queue.insert(deadline, nextToken)
                #expect(isFirst == (minimum.map { deadline < $0 } ?? true))
                expected[nextToken] = deadline
                nextToken += 1
            case 2, 3:
                let token = random(max(1, nextToken))
                queue.remove(token)
                expected[token] = nil
            default:
                let deadline = queue.first
                #expect(deadline == expected.values.min())
                if let token = queue.removeFirst() {
                    #expect(expected[token] == deadline)
                    expected[token] = nil
                } else {
                    #expect(expected.isEmpty)
                }
            }
        }
        #expect(drain(&queue).map { expected[$0] ?? .max } == expected.values.sorted())
    }
}
