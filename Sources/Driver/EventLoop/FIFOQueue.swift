/// A queue: first in, first out. It keeps no element that was taken out, and shrinks when it has become short.
struct FIFOQueue<Element> {
    private var incoming: [Element] = []
    /// Those that came before all of `incoming`, the first of them last.
    private var outgoing: [Element] = []

    var isEmpty: Bool { incoming.isEmpty && outgoing.isEmpty }
    var count: Int { incoming.count + outgoing.count }
    var first: Element? { outgoing.last ?? incoming.first }

    mutating func append(_ element: Element) { incoming.append(element) }

    mutating func removeFirst() -> Element? {
        if outgoing.isEmpty {
            if incoming.count == 1 { return incoming.removeLastAndShrink() }
            outgoing = incoming.reversed()
            incoming = []
        }
        return outgoing.isEmpty ? nil : outgoing.removeLastAndShrink()
    }

    /// Removes the first element that matches; nil where none does.
    mutating func remove(where matches: (Element) -> Bool) -> Element? {
        if let index = outgoing.lastIndex(where: matches) { return outgoing.remove(at: index) }
        return incoming.firstIndex(where: matches).map { incoming.remove(at: $0) }
    }
}
