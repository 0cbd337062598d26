/// A text that is compared by its bytes. To Swift, é is equal to e with a combining accent; to a file system they are two names.
struct ExactText: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Self, right: Self) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

extension String {
    /// Whether a path is a directory's or one below it, by bytes: to Swift, a slash and a combining accent behind it are one
    /// character that is no slash.
    package func isWithin(_ directory: String) -> Bool {
        let (path, other) = (utf8, directory.utf8)
        guard path.starts(with: other) else { return false }
        return path.count == other.count || other.last == UInt8(ascii: "/")
            || path.dropFirst(other.count).first == UInt8(ascii: "/")
    }
}
