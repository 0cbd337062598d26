/// Finds the way of paths as the kernel does (path_resolution(7)), looking up each name once.
struct PathWalk {
    private static let maximumLinks = 40
    private static let slash = UInt8(ascii: "/")

    /// The directories on the way, in the order of the paths.
    private(set) var ways: [WayFacts] = []
    private(set) var lookUps = PathLookUps()
    /// By path without symlinks: the number in `lookUps`.
    private var known: [[UInt8]: Int] = [:]
    private var passed: Set<[UInt8]> = []

    /// Looks up the names on the way of a path, and returns the directories on it, which are not in `ways` yet. Blocks if
    /// a file system on the way does not respond. Ends at /proc, since a task has its own.
    mutating func lookUp(_ path: String, index: Int) -> [[UInt8]] {
        var way: [[UInt8]] = []
        var place: [UInt8] = []
        var rest = Self.parts(Array(path.utf8))
        var links = 0
        while let name = rest.popLast() {
            if name.elementsEqual(".".utf8) { continue }
            if name.elementsEqual("..".utf8) {
                way.append(place)
                place.removeLast(place.count - (place.lastIndex(of: Self.slash) ?? 0))
                continue
            }
            let next = place + [Self.slash] + name
            switch found(at: next, index) {
            case .nothing: return way
            case .object:
                way.append(place)
                place = next
                if place.elementsEqual("/proc".utf8) { return way }
            case .symlink(let target):
                links += 1
                if links > Self.maximumLinks { return way }
                way.append(place)
                let target = Array(lookUps.target(target))
                if target.first == Self.slash { place = [] }
                rest += Self.parts(target)
            }
        }
        return way
    }

    /// Adds directories to `ways`.
    mutating func pass(_ places: [[UInt8]]) { for place in places { pass(place) } }

    /// The components, last first.
    private static func parts(_ path: [UInt8]) -> [ArraySlice<UInt8>] { path.split(separator: slash).reversed() }

    /// The root is left out: every task has its own.
    private mutating func pass(_ place: [UInt8]) {
        guard !place.isEmpty, passed.insert(place).inserted, let number = known[place],
            case .object(_, _, let mode, let owner, let group) = lookUps[number]
        else { return }
        ways.append(WayFacts(path: place, mode: mode, owner: owner, group: group))
    }

    private mutating func found(at place: [UInt8], _ index: Int) -> PathLookUps.Found {
        if let number = known[place] { return lookUps[number] }
        let number = lookUps.add(place, index: index)
        known[place] = number
        return lookUps[number]
    }
}
