/// By bytes, as the kernel compares paths: to Swift, a slash and a combining accent behind it are one character that is no
/// slash.
extension String {
    /// Whether this is the path of `directory`, or of something below it.
    package func isWithin(_ directory: String) -> Bool {
        let (path, other) = (utf8, directory.utf8)
        guard path.starts(with: other) else { return false }
        return path.count == other.count || other.last == UInt8(ascii: "/")
            || path.dropFirst(other.count).first == UInt8(ascii: "/")
    }

    /// Whether this is the path of `directory` with one more component. Neither may have `//`, `.` or `..`.
    package func isChild(of directory: String) -> Bool {
        guard isWithin(directory) else { return false }
        let rest = utf8.dropFirst(directory.utf8.count)
        let name = rest.first == UInt8(ascii: "/") ? rest.dropFirst() : rest
        return !name.isEmpty && !name.contains(UInt8(ascii: "/"))
    }
}
