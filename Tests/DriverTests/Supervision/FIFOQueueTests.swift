import Testing

@testable import EventLoop

@Suite struct FIFOQueueTests {
    @Test func firstInFirstOut() {
        var queue = FIFOQueue<Int>()
        #expect(queue.isEmpty)
        #expect(queue.first == nil)
        #expect(queue.removeFirst() == nil)
        var next = 0
        var expected = 0
        for round in 1..<40 {
            for _ in 0..<round {
                queue.append(next)
                next += 1
            }
            for _ in 0..<(round * 2 / 3) {
                #expect(queue.first == expected)
                #expect(queue.removeFirst() == expected)
                expected += 1
            }
            #expect(queue.count == next - expected)
        }
        while let number = queue.removeFirst() {
            #expect(number == expected)
            expected += 1
        }
        #expect(expected == next)
        #expect(queue.isEmpty)
    }

    @Test func oneIsRemovedWhereverItStands() {
        var queue = FIFOQueue<Int>()
        for number in 0..<10 { queue.append(number) }
        #expect(queue.removeFirst() == 0)
        for number in 10..<20 { queue.append(number) }
        #expect(queue.remove { $0 == 5 } == 5)
        #expect(queue.remove { $0 == 15 } == 15)
        #expect(queue.remove { $0 == 15 } == nil)
        var rest: [Int] = []
        while let number = queue.removeFirst() { rest.append(number) }
        #expect(rest == Array(1..<20).filter { $0 != 5 && $0 != 15 })
    }

    private final class Object {}

    @Test func nothingIsKept() {
        var queue = FIFOQueue<Object>()
        weak var first: Object?
        weak var second: Object?
        do {
            let objects = [Object(), Object()]
            (first, second) = (objects[0], objects[1])
            for object in objects { queue.append(object) }
        }
        #expect(queue.removeFirst() != nil)
        #expect(first == nil)
        #expect(second != nil)
        #expect(queue.removeFirst() != nil)
        #expect(second == nil)
    }
}
