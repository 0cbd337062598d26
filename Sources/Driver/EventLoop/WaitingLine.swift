/// First come, first served. What has been taken out is kept no longer, and neither is the room of a long line.
struct WaitingLine<Element> {
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

    /// Removes the first that is meant; nil where none is.
    mutating func remove(where isMeant: (Element) -> Bool) -> Element? {
        if let index = outgoing.lastIndex(where: isMeant) { return outgoing.remove(at: index) }
        return incoming.firstIndex(where: isMeant).map { incoming.remove(at: $0) }
    }
}
