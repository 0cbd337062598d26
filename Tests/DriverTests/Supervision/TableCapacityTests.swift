import Testing

@testable import EventLoop
@testable import HCLog
@testable import Planning

@Suite struct TableCapacityTests {
    @Test func aTableGivesItsRoomBack() {
        var table: [Int: Int] = [:]
        for key in 0..<5000 { table[key] = -key }
        let most = table.capacity
        for key in 0..<4990 { #expect(table.removeAndShrink(key) == -key) }
        #expect(table.removeAndShrink(0) == nil)
        #expect(table == Dictionary(uniqueKeysWithValues: (4990..<5000).map { ($0, -$0) }))
        #expect(most >= 5000 && table.capacity < 128)
    }

    @Test func anArrayGivesItsRoomBack() {
        var array = Array(0..<5000)
        for last in (10..<5000).reversed() { #expect(array.removeLastAndShrink() == last) }
        #expect(array == Array(0..<10))
        #expect(array.capacity < 128)
    }

    @Test func whatComesAndGoesIsNotMovedEachTime() {
        var table: [Int: Int] = [:]
        for key in 0..<100 { table[key] = key }
        let capacity = table.capacity
        for key in 0..<70 { _ = table.removeAndShrink(key) }
        #expect(table.capacity == capacity)
    }
}
