/// Deadlines in order, with removal by token: a binary heap that knows where each token stands.
struct DeadlineQueue: Sendable {
    private var heap: [(deadline: UInt64, token: UInt64)] = []
    private var positions: [UInt64: Int] = [:]

    var first: UInt64? { heap.first?.deadline }

    /// True where the new deadline is now the first.
    mutating func insert(_ deadline: UInt64, _ token: UInt64) -> Bool {
        heap.append((deadline, token))
        positions[token] = heap.count - 1
        rise(heap.count - 1)
        return heap[0].token == token
    }

    mutating func removeFirst() -> UInt64? {
        guard let token = heap.first?.token else { return nil }
        remove(token)
        return token
    }

    mutating func remove(_ token: UInt64) {
        guard let position = positions.removeAndShrink(token) else { return }
        let last = heap.removeLastAndShrink()
        guard position < heap.count else { return }
        heap[position] = last
        positions[last.token] = position
        rise(position)
        sink(position)
    }

    private mutating func rise(_ start: Int) {
        var position = start
        while position > 0, heap[position].deadline < heap[(position - 1) / 2].deadline {
            exchange(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
    }

    private mutating func sink(_ start: Int) {
        var position = start
        while true {
            var minimum = position
            for child in [2 * position + 1, 2 * position + 2] where child < heap.count {
                if heap[child].deadline < heap[minimum].deadline { minimum = child }
            }
            guard minimum != position else { return }
            exchange(position, minimum)
            position = minimum
        }
    }

    private mutating func exchange(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        positions[heap[left].token] = left
        positions[heap[right].token] = right
    }
}
