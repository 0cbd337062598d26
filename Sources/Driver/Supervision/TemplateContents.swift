import Glibc
import Planning
import Shared

/// What a template shows of the host: the objects that its paths lead to, and the directories that they lead through.
struct TemplateContents: Equatable, Sendable {
    let paths: [PathFacts]
    let directories: [PassedDirectory]
    /// The names that were looked up. As long as these are the same, so is the rest.
    let lookUps: PathLookUps

    static func == (left: TemplateContents, right: TemplateContents) -> Bool {
        left.paths == right.paths && left.directories == right.directories
    }

    /// Reads what paths show now. Blocks if a path's file system does not respond.
    ///
    /// - Parameters:
    ///   - earlier: What was read of the same paths before. It is returned if no name has changed: to find that out
    ///     takes a third of the time that it takes to resolve every path.
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
            let passed = walk.lookUp(paths[index].path, index: index)
            let object = facts(paths[index].path)
            // For a path that does not exist the template has no directories.
            if object.exists { walk.addDirectories(passed) }
            return object
        }
        return TemplateContents(paths: objects, directories: walk.directories, lookUps: walk.lookUps)
    }

    /// What has changed since `before`, for the log: "replaced /etc/hosts".
    func changes(since before: TemplateContents, _ paths: [TemplateSpecification.Path]) -> [String] {
        guard self != before else { return [] }
        let objects = PathFacts.changes(of: paths, from: before.paths, to: self.paths)
        var known: [[UInt8]: PassedDirectory] = [:]
        for directory in before.directories { known[directory.path] = directory }
        let modes = directories.compactMap { directory -> String? in
            guard let earlier = known[directory.path], earlier != directory else { return nil }
            return "other mode or owner of \(String(decoding: directory.path, as: UTF8.self))"
        }
        let all = objects + modes
        return all.isEmpty ? ["other directories on the way"] : all
    }
}

/// A directory that a path leads through. The template's directory gets the same mode and owner, since these decide who
/// may search it.
struct PassedDirectory: Equatable, Sendable {
    /// Without symlinks.
    let path: [UInt8]
    let mode, owner, group: UInt32
}
