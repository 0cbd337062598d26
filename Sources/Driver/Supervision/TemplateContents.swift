import Glibc
import Planning
import Shared

/// What a template shows of the host: the objects that its paths lead to, and the directories on the way.
struct TemplateContents: Equatable, Sendable {
    let paths: [PathFacts]
    let ways: [WayFacts]
    /// The names that were looked up, from which the rest follows.
    let lookUps: PathLookUps

    static func == (left: TemplateContents, right: TemplateContents) -> Bool {
        left.paths == right.paths && left.ways == right.ways
    }

    /// Reads what paths show now. Blocks if a path's file system does not respond.
    ///
    /// - Parameters:
    ///   - earlier: What was read of the same paths before. It is the result if no name has changed, which takes a
    ///     third of the time that it takes to find the way of every path.
    ///   - facts: Reads what a path leads to; tests pass a substitute.
    ///   - examine: Called with the index of each path before it is read.
    static func read(
        _ paths: [TemplateSpecification.Path], earlier: TemplateContents?,
        facts: (String) -> PathFacts = { PathFacts($0) }, _ examine: (Int) -> Void
    ) -> TemplateContents {
        if let earlier, earlier.lookUps.areCurrent(examine) { return earlier }
        var walk = PathWalk()
        let objects = paths.indices.map { index in
            examine(index)
            // Before the facts: what is replaced in between is then found changed by the next reading.
            let way = walk.lookUp(paths[index].path, index: index)
            let object = facts(paths[index].path)
            // For a path that does not exist the template has no directories.
            if object.exists { walk.pass(way) }
            return object
        }
        return TemplateContents(paths: objects, ways: walk.ways, lookUps: walk.lookUps)
    }

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
