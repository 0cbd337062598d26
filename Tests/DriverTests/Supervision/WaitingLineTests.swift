import Testing

@testable import EventLoop
@testable import HCLog
@testable import Messages
@testable import Planning

@Suite struct WaitingLineTests {
    @Test func firstInFirstOut() {
        var line = WaitingLine<Int>()
        #expect(line.isEmpty)
        #expect(line.first == nil)
        #expect(line.removeFirst() == nil)
        var next = 0
        var expected = 0
        for round in 1..<40 {
            for _ in 0..<round {
                line.append(next)
                next += 1
            }
            for _ in 0..<(round * 2 / 3) {
                #expect(line.first == expected)
                #expect(line.removeFirst() == expected)
                expected += 1
            }
            #expect(line.count == next - expected)
        }
        while let number = line.removeFirst() {
            #expect(number == expected)
            expected += 1
        }
        #expect(expected == next)
        #expect(line.isEmpty)
    }

    @Test func oneIsRemovedWhereverItStands() {
        var line = WaitingLine<Int>()
        for number in 0..<10 { line.append(number) }
        #expect(line.removeFirst() == 0)
        for number in 10..<20 { line.append(number) }
        #expect(line.remove { $0 == 5 } == 5)
        #expect(line.remove { $0 == 15 } == 15)
        #expect(line.remove { $0 == 15 } == nil)
        var rest: [Int] = []
        while let number = line.removeFirst() { rest.append(number) }
        #expect(rest == Array(1..<20).filter { $0 != 5 && $0 != 15 })
    }

    private final class Object {}

    @Test func nothingIsKept() {
        var line = WaitingLine<Object>()
        weak var first: Object?
        weak var second: Object?
        do {
            let objects = [Object(), Object()]
            (first, second) = (objects[0], objects[1])
            for object in objects { line.append(object) }
        }
        #expect(line.removeFirst() != nil)
        #expect(first == nil)
        #expect(second != nil)
        #expect(line.removeFirst() != nil)
        #expect(second == nil)
    }
}
