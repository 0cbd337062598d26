import Glibc
import Planning
import Shared

/// What a template shows of the host: the objects that its paths lead to, and the directories on the way.
struct TemplateContents: Equatable, Sendable {
    let paths: [PathFacts]
    let ways: [WayFacts]

    /// What has changed since `before`, for the log: "replaced /etc/hosts".
    func changes(since before: TemplateContents, _ paths: [TemplateSpecification.Path]) -> [String] {
        guard self != before else { return [] }
        let objects = PathFacts.changes(of: paths, from: before.paths, to: self.paths)
        var known: [[UInt8]: WayFacts] = [:]
        for way in before.ways { known[way.path] = way }
        let modes = ways.compactMap { way -> String? in
            guard let earlier = known[way.path], earlier != way else { return nil }
            return "other mode or owner of \(String(decoding: way.path, as: UTF8.self))"
        }
        let all = objects + modes
        return all.isEmpty ? ["other directories on the way"] : all
    }
}

/// Owner and mode of a directory on the way of a path. The template's directory has the same, since they decide who may
/// pass.
struct WayFacts: Equatable, Sendable {
    /// Without symlinks.
    let path: [UInt8]
    let mode, owner, group: UInt32
}

/// Reads the facts of the directories on the way of paths, of each once.
struct WayReader {
    private enum Entry {
        case object(WayFacts)
        case symlink([UInt8])
        case none
    }

    /// As the kernel does (path_resolution(7)).
    private static let maximumLinks = 40
    private static let slash = UInt8(ascii: "/")

    /// In the order of the paths.
    private(set) var ways: [WayFacts] = []
    private var entries: [[UInt8]: Entry] = [:]
    private var passed: Set<[UInt8]> = []

    /// Adds the directories on the way of a path. Blocks if a file system on the way does not respond. Ends at /proc,
    /// since a task has its own.
    mutating func add(_ path: String) {
        var place: [UInt8] = []
        var rest = Self.parts(Array(path.utf8))
        var links = 0
        while let name = rest.popLast() {
            if name.elementsEqual(".".utf8) { continue }
            if name.elementsEqual("..".utf8) {
                pass(place)
                place.removeLast(place.count - (place.lastIndex(of: Self.slash) ?? 0))
                continue
            }
            let next = place + [Self.slash] + name
            switch entry(at: next) {
            case .none: return
            case .object:
                pass(place)
                place = next
                if place.elementsEqual("/proc".utf8) { return }
            case .symlink(let target):
                links += 1
                if links > Self.maximumLinks { return }
                pass(place)
                if target.first == Self.slash { place = [] }
                rest += Self.parts(target)
            }
        }
    }

    /// The components, last first.
    private static func parts(_ path: [UInt8]) -> [ArraySlice<UInt8>] { path.split(separator: slash).reversed() }

    /// The root is left out: every task has its own.
    private mutating func pass(_ place: [UInt8]) {
        guard !place.isEmpty, passed.insert(place).inserted, case .object(let facts)? = entries[place] else { return }
        ways.append(facts)
    }

    private mutating func entry(at place: [UInt8]) -> Entry {
        if let known = entries[place] { return known }
        let entry = Self.look(at: place)
        entries[place] = entry
        return entry
    }

    private static func look(at place: [UInt8]) -> Entry {
        (place + [0]).withUnsafeBytes { bytes -> Entry in
            guard let path = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return .none }
            var facts = stat()
            guard lstat(path, &facts) == 0 else { return .none }
            guard facts.st_mode & S_IFMT == S_IFLNK else {
                return .object(
                    WayFacts(path: place, mode: facts.st_mode, owner: facts.st_uid, group: facts.st_gid))
            }
            return withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer -> Entry in
                guard let start = buffer.baseAddress?.assumingMemoryBound(to: CChar.self) else { return .none }
                let count = readlink(path, start, buffer.count)
                return count > 0 ? .symlink(Array(buffer[..<count])) : .none
            }
        }
    }
}
