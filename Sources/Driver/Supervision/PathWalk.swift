/// Resolves paths as the kernel does (path_resolution(7)), and looks up each name only once for all of them.
struct PathWalk {
    private static let maximumLinks = 40
    private static let slash = UInt8(ascii: "/")

    /// The directories that paths lead through, in the order of the paths.
    private(set) var directories: [PassedDirectory] = []
    private(set) var lookUps = PathLookUps()
    /// Indices of `lookUps`, by paths without symlinks.
    private var known: [[UInt8]: Int] = [:]
    /// The paths of `directories`.
    private var added: Set<[UInt8]> = []

    /// Looks up the components of a path, and returns the directories that it leads through, for `addDirectories`.
    /// Blocks if one of their file systems does not respond. Ends at /proc, since a task has its own.
    mutating func lookUp(_ path: String, index: Int) -> [[UInt8]] {
        var passed: [[UInt8]] = []
        var place: [UInt8] = []
        var rest = Self.components(Array(path.utf8))
        var links = 0
        while let name = rest.popLast() {
            if name.elementsEqual(".".utf8) { continue }
            if name.elementsEqual("..".utf8) {
                passed.append(place)
                place.removeLast(place.count - (place.lastIndex(of: Self.slash) ?? 0))
                continue
            }
            let next = place + [Self.slash] + name
            switch found(at: next, index) {
            case .nothing: return passed
            case .object:
                passed.append(place)
                place = next
                if place.elementsEqual("/proc".utf8) { return passed }
            case .symlink(let target):
                links += 1
                if links > Self.maximumLinks { return passed }
                passed.append(place)
                let target = Array(lookUps.target(target))
                if target.first == Self.slash { place = [] }
                rest += Self.components(target)
            }
        }
        return passed
    }

    /// Adds directories that `lookUp` has returned.
    mutating func addDirectories(_ places: [[UInt8]]) { for place in places { addDirectory(place) } }

    /// The components, last first.
    private static func components(_ path: [UInt8]) -> [ArraySlice<UInt8>] { path.split(separator: slash).reversed() }

    /// The root is left out: every task has its own.
    private mutating func addDirectory(_ place: [UInt8]) {
        guard !place.isEmpty, added.insert(place).inserted, let number = known[place],
            case .object(_, _, let mode, let owner, let group) = lookUps[number]
        else { return }
        directories.append(PassedDirectory(path: place, mode: mode, owner: owner, group: group))
    }

    private mutating func found(at place: [UInt8], _ index: Int) -> PathLookUps.Found {
        if let number = known[place] { return lookUps[number] }
        let number = lookUps.add(place, index: index)
        known[place] = number
        return lookUps[number]
    }
}
