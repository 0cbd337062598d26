/// Tables of what there is at the moment: their room goes with what was in it.
///
/// Swift's collections never shrink. A table that has once had a place for each of a thousand tasks would keep
/// these places until the driver ends.
enum TableCapacity {
    /// Below this it is not worth the work.
    static let minimum = 64
    /// By how much a table must be too large. It is made anew at half of that at most, so that the work for it is
    /// paid for by the removals before it.
    private static let factor = 8

    static func isWasted(_ capacity: Int, count: Int) -> Bool {
        capacity > minimum && count < capacity / factor
    }
}

extension Dictionary {
    /// Removes a value, and gives back the room of a table that has become far too large.
    package mutating func removeAndShrink(_ key: Key) -> Value? {
        let value = removeValue(forKey: key)
        if TableCapacity.isWasted(capacity, count: count) {
            var smaller = Self(minimumCapacity: 2 * count)
            for (key, value) in self { smaller[key] = value }
            self = smaller
        }
        return value
    }
}

extension Array {
    /// Removes the last element, and gives back the room of an array that has become far too large.
    mutating func removeLastAndShrink() -> Element {
        let last = removeLast()
        if TableCapacity.isWasted(capacity, count: count) {
            var smaller = Self()
            smaller.reserveCapacity(2 * count)
            smaller += self
            self = smaller
        }
        return last
    }
}
