/// Ranges of uids or gids as the plugin options `denied_host_uids` and `denied_host_gids` have them, with the
/// syntax of Nomad's `exec` and `raw_exec` drivers: `0-999,65534`, ends included.
package struct IDRanges: Equatable, Sendable {
    private let ranges: [ClosedRange<UInt32>]
    /// As the operator wrote it.
    let text: String

    /// No ids at all.
    static let none = IDRanges(ranges: [], text: "")

    /// What a text that is no list of ranges must be.
    static let requirement =
        "must be ids or ranges of ids with commas between and no spaces, such as 0-999,65534; an id is from 0 to "
        + "4294967295, and the lower end of a range comes first"

    private init(ranges: [ClosedRange<UInt32>], text: String) {
        self.ranges = ranges
        self.text = text
    }

    /// Nil where the text is no list of ranges; the empty text is the empty list.
    init?(_ text: String) {
        var ranges: [ClosedRange<UInt32>] = []
        if !text.isEmpty {
            for item in text.split(separator: ",", omittingEmptySubsequences: false) {
                let ends = item.split(separator: "-", omittingEmptySubsequences: false).map(Self.id)
                guard (1...2).contains(ends.count), let lower = ends[0], let upper = ends[ends.count - 1],
                    lower <= upper
                else { return nil }
                ranges.append(lower...upper)
            }
        }
        self.init(ranges: ranges, text: text)
    }

    /// Whether an id is in one of the ranges.
    func contains(_ id: UInt32) -> Bool { ranges.contains { $0.contains(id) } }

    private static func id(_ text: Substring) -> UInt32? {
        // UInt32(_:) would take a sign.
        guard let first = text.utf8.first, (0x30...0x39).contains(first) else { return nil }
        return UInt32(text)
    }
}
