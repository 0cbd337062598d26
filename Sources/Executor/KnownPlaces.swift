import CLinux
import SharedEmbedded

/// A cache of what was found on the host while paths were resolved, as a tree of names. Each entry is opened once,
/// however many paths lead through it.
struct KnownPlaces {
    struct Place {
        let name: [UInt8]
        let parent: Int
        let depth: Int
        let facts: exec2_file_facts
        /// The target of a symlink; else empty.
        let target: [UInt8]
        /// Sorted by the bytes of their names.
        fileprivate var children: [Int] = []
        /// Whether the root gets it.
        fileprivate var isIncluded = false
        /// The index of the bind at this place; -1 if it has none.
        fileprivate var bind = -1

        var isDirectory: Bool { facts.type == EXEC2_FILE_DIRECTORY }
        var isSymlink: Bool { facts.type == EXEC2_FILE_SYMLINK }
    }

    static let root = 0

    private var places: [Place]
    /// How many more directories and symlinks may be added.
    private var left = RootLimit.places

    init() {
        var facts = exec2_file_facts()
        facts.type = EXEC2_FILE_DIRECTORY
        places = [Place(name: [], parent: Self.root, depth: 0, facts: facts, target: [])]
    }

    subscript(place: Int) -> Place { places[place] }

    func child(of place: Int, _ name: [UInt8]) -> Int? {
        let children = places[place].children
        let position = position(of: name, in: children)
        guard position < children.count, places[children[position]].name == name else { return nil }
        return children[position]
    }

    /// Nil if there are as many already as a root may have.
    /// - Parameter target: The target of a symlink.
    mutating func add(_ name: [UInt8], to parent: Int, _ facts: exec2_file_facts, target: [UInt8] = []) -> Int? {
        if facts.type == EXEC2_FILE_DIRECTORY || facts.type == EXEC2_FILE_SYMLINK {
            if left == 0 { return nil }
            left -= 1
        }
        let place = Place(name: name, parent: parent, depth: places[parent].depth + 1, facts: facts, target: target)
        let position = position(of: name, in: places[parent].children)
        places[parent].children.insert(places.count, at: position)
        places.append(place)
        return places.count - 1
    }

    func path(of place: Int) -> PathBytes {
        var names = [[UInt8]](repeating: [], count: places[place].depth)
        var current = place
        for index in names.indices.reversed() {
            names[index] = places[current].name
            current = places[current].parent
        }
        return PathBytes(names)
    }

    /// Marks a place as included in the root. False if it was included before.
    mutating func include(_ place: Int) -> Bool {
        if places[place].isIncluded { return false }
        places[place].isIncluded = true
        return true
    }

    // MARK: Binds

    /// The bind at a place, or the closest above it.
    func bind(atOrAbove place: Int) -> Int? {
        var current = place
        while places[current].bind < 0 {
            if current == Self.root { return nil }
            current = places[current].parent
        }
        return places[current].bind
    }

    mutating func set(bind: Int, at place: Int) { places[place].bind = bind }

    // MARK: -

    private func position(of name: [UInt8], in children: [Int]) -> Int {
        var low = 0
        var high = children.count
        while low < high {
            let middle = (low + high) / 2
            if places[children[middle]].name.lexicographicallyPrecedes(name) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}
