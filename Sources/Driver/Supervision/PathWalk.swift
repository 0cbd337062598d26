import Glibc

/// A name of the host that was looked up on the way of a path, and what it was.
struct PathLookUp: Sendable {
    enum Found: Equatable, Sendable {
        case object(device: UInt, inode: UInt, mode: UInt32, owner: UInt32, group: UInt32)
        case symlink([UInt8])
        case nothing
    }

    /// The path whose way led there first.
    let index: Int
    /// The path without symlinks, and a NUL byte.
    private let place: [UInt8]
    let found: Found

    /// Looks it up. Blocks if the file system does not respond.
    init(_ path: [UInt8], index: Int) {
        self.index = index
        place = path + [0]
        found = Self.found(at: place) { .symlink(Array($0)) } ?? .nothing
    }

    /// Whether it is still the same. Blocks if the file system does not respond.
    var isCurrent: Bool {
        let now = Self.found(at: place) { target -> Found? in
            guard case .symlink(let expected) = found, expected.elementsEqual(target) else { return nil }
            return found
        }
        return now == found
    }

    /// - Parameter link: What a symlink with a target is taken for.
    private static func found(at place: [UInt8], _ link: (UnsafeRawBufferPointer) -> Found?) -> Found? {
        place.withUnsafeBytes { bytes -> Found? in
            guard let path = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return Found.nothing }
            var facts = stat()
            guard lstat(path, &facts) == 0 else { return Found.nothing }
            guard facts.st_mode & S_IFMT == S_IFLNK else {
                return .object(
                    device: UInt(facts.st_dev), inode: UInt(facts.st_ino), mode: facts.st_mode, owner: facts.st_uid,
                    group: facts.st_gid)
            }
            return withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> Found? in
                guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return Found.nothing }
                let count = readlink(path, start, buffer.count)
                return count > 0 ? link(UnsafeRawBufferPointer(rebasing: buffer[..<count])) : Found.nothing
            }
        }
    }
}

/// Finds the way of paths as the kernel does (path_resolution(7)), looking up each name once.
struct PathWalk {
    private static let maximumLinks = 40
    private static let slash = UInt8(ascii: "/")

    /// The directories on the way, in the order of the paths.
    private(set) var ways: [WayFacts] = []
    private(set) var lookUps: [PathLookUp] = []
    /// By path without symlinks: the index in `lookUps`.
    private var known: [[UInt8]: Int] = [:]
    private var passed: Set<[UInt8]> = []

    /// Adds the directories on the way of a path. Blocks if a file system on the way does not respond. Ends at /proc,
    /// since a task has its own.
    /// - Parameter passes: Whether the directories are added to `ways`; names are looked up in any case.
    mutating func add(_ path: String, index: Int = 0, passes: Bool = true) {
        var place: [UInt8] = []
        var rest = Self.parts(Array(path.utf8))
        var links = 0
        while let name = rest.popLast() {
            if name.elementsEqual(".".utf8) { continue }
            if name.elementsEqual("..".utf8) {
                if passes { pass(place) }
                place.removeLast(place.count - (place.lastIndex(of: Self.slash) ?? 0))
                continue
            }
            let next = place + [Self.slash] + name
            switch found(at: next, index) {
            case .nothing: return
            case .object:
                if passes { pass(place) }
                place = next
                if place.elementsEqual("/proc".utf8) { return }
            case .symlink(let target):
                links += 1
                if links > Self.maximumLinks { return }
                if passes { pass(place) }
                if target.first == Self.slash { place = [] }
                rest += Self.parts(target)
            }
        }
    }

    /// The components, last first.
    private static func parts(_ path: [UInt8]) -> [ArraySlice<UInt8>] { path.split(separator: slash).reversed() }

    /// The root is left out: every task has its own.
    private mutating func pass(_ place: [UInt8]) {
        guard !place.isEmpty, passed.insert(place).inserted, let index = known[place],
            case .object(_, _, let mode, let owner, let group) = lookUps[index].found
        else { return }
        ways.append(WayFacts(path: place, mode: mode, owner: owner, group: group))
    }

    private mutating func found(at place: [UInt8], _ index: Int) -> PathLookUp.Found {
        if let known = known[place] { return lookUps[known].found }
        let lookUp = PathLookUp(place, index: index)
        known[place] = lookUps.count
        lookUps.append(lookUp)
        return lookUp.found
    }
}
