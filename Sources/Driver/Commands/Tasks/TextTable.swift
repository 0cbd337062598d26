import Shared

/// Rows in columns, for a person or for awk(1): cells have no blanks inside, and none is empty.
struct TextTable: Sendable {
    /// Of ECMA-48.
    enum Colour: Int, Sendable {
        case red = 31
        case green = 32
        case yellow = 33
    }

    struct Column: Sendable {
        let title: String
        /// Aligned to the right.
        let isNumber: Bool

        init(_ title: String, isNumber: Bool = false) {
            self.title = title
            self.isNumber = isNumber
        }
    }

    struct Cell: Sendable {
        let text: String
        let colour: Colour?

        /// - Parameter text: Blanks and what a terminal would obey become `_`; nothing is `-`.
        init(_ text: String?, _ colour: Colour? = nil) {
            let safe = (text ?? "").onOneLine.unicodeScalars.map { $0.properties.isWhitespace ? "_" : $0 }
            self.text = safe.isEmpty ? "-" : String(String.UnicodeScalarView(safe))
            self.colour = colour
        }

        init(_ number: (some BinaryInteger)?) { self.init(number.map { String($0) }) }
    }

    let columns: [Column]
    private var rows: [[Cell]] = []

    init(columns: [Column]) { self.columns = columns }

    mutating func add(_ row: [Cell]) { rows.append(row) }

    /// With a line of titles, which are bold where there is colour.
    func text(colour: Bool) -> String {
        let widths = columns.indices.map { index in
            rows.reduce(columns[index].title.count) { max($0, $1[index].text.count) }
        }
        func line(_ texts: [String], _ codes: [Int?]) -> String {
            var line = ""
            for (index, text) in texts.enumerated() {
                let gap = String(repeating: " ", count: widths[index] - text.count)
                let shown = codes[index].map { colour ? "\u{1B}[\($0)m\(text)\u{1B}[0m" : text } ?? text
                let isLast = index == texts.count - 1
                line += columns[index].isNumber ? gap + shown : shown + (isLast ? "" : gap)
                if !isLast { line += "  " }
            }
            return line + "\n"
        }
        let bold = 1
        return line(columns.map(\.title), columns.map { _ in bold })
            + rows.map { line($0.map(\.text), $0.map { $0.colour?.rawValue }) }.joined()
    }

    // MARK: Numbers for people

    /// "512", "1.5K", "64.0M", "2.3G": powers of 1024.
    static func bytes(_ count: UInt64) -> String {
        var value = Double(count)
        if count < 1024 { return String(count) }
        for unit in ["K", "M", "G", "T", "P"] {
            value /= 1024
            // 1023.95 would become 1024.0.
            if value < 1023.95 || unit == "P" {
                let tenths = Int((value * 10).rounded())
                return "\(tenths / 10).\(tenths % 10)\(unit)"
            }
        }
        return String(count)
    }

    /// The two largest units: "0s", "59s", "3m07s", "5h10m", "12d03h".
    static func duration(nanoseconds: Int64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        func padded(_ value: Int64) -> String { (value < 10 ? "0" : "") + String(value) }
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return "\(seconds / 60)m\(padded(seconds % 60))s"
        case ..<86_400: return "\(seconds / 3600)h\(padded(seconds / 60 % 60))m"
        default: return "\(seconds / 86_400)d\(padded(seconds / 3600 % 24))h"
        }
    }
}

extension String {
    /// With `_` for what a terminal would obey or take for the end of the line, and U+FFFD for a byte of what is not
    /// UTF-8.
    var onOneLine: String {
        String(
            String.UnicodeScalarView(
                ByteText.readable(self).unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .lineSeparator, .paragraphSeparator: "_"
                    default: scalar
                    }
                }))
    }
}
