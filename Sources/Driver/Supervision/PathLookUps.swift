import Glibc

/// Names that were looked up on the host to resolve paths, and what each was.
struct PathLookUps: Sendable {
    enum Found: Equatable, Sendable {
        case object(device: UInt, inode: UInt, mode: UInt32, owner: UInt32, group: UInt32)
        /// The target is in `bytes`, in this range.
        case symlink(Range<Int>)
        case nothing
    }

    private struct Entry: Sendable {
        /// The index of the first path that was resolved through this name.
        let index: Int
        /// Where the name's own path, which is without symlinks, begins in `bytes`; it ends with a NUL byte.
        let start: Int
        let found: Found
    }

    private var entries: [Entry] = []
    /// The paths and targets of all entries: one allocation, since they are kept for long.
    private var bytes: [UInt8] = []

    subscript(number: Int) -> Found { entries[number].found }
    func target(_ range: Range<Int>) -> ArraySlice<UInt8> { bytes[range] }

    /// Looks up a name by its path, and returns the number of its entry. Blocks if the file system does not respond.
    /// - Parameter index: The index of the path that is resolved.
    mutating func add(_ path: [UInt8], index: Int) -> Int {
        let start = bytes.count
        bytes += path + [0]
        var target: [UInt8] = []
        var found = bytes.withUnsafeBytes { bytes in
            Self.found(at: UnsafeRawBufferPointer(rebasing: bytes[start...])) { target = Array($0) }
        }
        if case .symlink = found {
            found = .symlink(bytes.count..<bytes.count + target.count)
            bytes += target
        }
        entries.append(Entry(index: index, start: start, found: found))
        return entries.count - 1
    }

    /// Whether every name is still what it was. Blocks if a file system does not respond.
    /// - Parameter examine: Called with the index of each path before names are looked up to resolve it.
    func areCurrent(_ examine: (Int) -> Void) -> Bool {
        var examined: Int?
        return bytes.withUnsafeBytes { bytes in
            entries.allSatisfy { entry in
                if entry.index != examined { examine(entry.index) }
                examined = entry.index
                return Self.isCurrent(entry, UnsafeRawBufferPointer(rebasing: bytes[entry.start...]), bytes)
            }
        }
    }

    private static func isCurrent(
        _ entry: Entry, _ place: UnsafeRawBufferPointer, _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        var isSameTarget = false
        let now = found(at: place) { target in
            guard case .symlink(let expected) = entry.found else { return }
            isSameTarget = bytes[expected].elementsEqual(target)
        }
        if case .symlink = now { return isSameTarget }
        return now == entry.found
    }

    /// - Parameter link: Called with the target of a symlink; the range in the result is empty.
    private static func found(at place: UnsafeRawBufferPointer, _ link: (UnsafeRawBufferPointer) -> Void) -> Found {
        guard let path = place.baseAddress?.assumingMemoryBound(to: CChar.self) else { return .nothing }
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return .nothing }
        guard facts.st_mode & S_IFMT == S_IFLNK else {
            return .object(
                device: UInt(facts.st_dev), inode: UInt(facts.st_ino), mode: facts.st_mode, owner: facts.st_uid,
                group: facts.st_gid)
        }
        return withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> Found in
            guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return .nothing }
            let count = readlink(path, start, buffer.count)
            guard count > 0 else { return .nothing }
            link(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return .symlink(0..<0)
        }
    }
}
