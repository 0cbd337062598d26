import CLinux
import EventLoop
import Glibc
import Host
import Planning
import Shared

/// Which object a path leads to; zeros where it leads to none.
struct PathFacts: Equatable, Sendable {
    private let device: UInt
    private let inode: UInt

    /// Waits where the path's file system does not answer.
    init(_ path: String) {
        var facts = stat()
        let exists = stat(path, &facts) == 0
        device = exists ? UInt(facts.st_dev) : 0
        inode = exists ? UInt(facts.st_ino) : 0
    }

    var exists: Bool { inode != 0 || device != 0 }

    /// What has become of the paths whose facts differ: "replaced /etc/hosts".
    static func changes(
        of paths: [TemplateSpecification.Path], from before: [PathFacts], to now: [PathFacts]
    ) -> [String] {
        zip(paths, zip(before, now)).compactMap { path, facts in
            guard facts.0 != facts.1 else { return nil }
            return (!facts.0.exists ? "added " : facts.1.exists ? "replaced " : "removed ") + path.path
        }
    }
}

/// Reads what the paths of templates lead to and through, for all starts that ask at the same time.
///
/// A path may be on a file system that does not answer. The thread that looks at it then waits in the kernel until it
/// does: so there is one such thread for each set of paths, however many starts there are, and they are told which path
/// it is. No start waits longer than `maximumNanoseconds`.
///
/// A start is given only what was read after it had come: one that comes while paths are read waits for the next
/// reading, with every other that has come since.
final class TemplateFacts: Sendable {
    static let maximumNanoseconds: UInt64 = SharedHostFacts.maximumNanoseconds

    /// One reading of all paths of a template.
    final class Reading: Sendable {
        fileprivate let paths: [TemplateSpecification.Path]
        fileprivate let contents = OneShot<TemplateContents>()
        /// The path that is looked at, and since when; nil before the reading has begun.
        fileprivate let examined = Mutex<(path: TemplateSpecification.Path, since: UInt64)?>(nil)

        fileprivate init(_ paths: [TemplateSpecification.Path]) { self.paths = paths }
    }

    /// The readings of one set of paths: the one under way, and the one that follows.
    private struct Chain {
        var current: Reading
        var next: Reading?
    }

    private let reactor: Reactor
    private let pool: BlockingPool
    private let nanoseconds: UInt64
    private let read: @Sendable (String) -> PathFacts
    private let chains = Mutex<[Chain]>([])

    /// - Parameter read: Another way to look at a path, for tests.
    init(
        reactor: Reactor, pool: BlockingPool = .shared, nanoseconds: UInt64 = maximumNanoseconds,
        read: @escaping @Sendable (String) -> PathFacts = { PathFacts($0) }
    ) {
        self.reactor = reactor
        self.pool = pool
        self.nanoseconds = nanoseconds
        self.read = read
    }

    /// A reading that begins after this call, and does not make its caller wait.
    func begin(_ paths: [TemplateSpecification.Path]) -> Reading {
        let (reading, begins) = chains.withLock { chains in
            guard let index = chains.firstIndex(where: { $0.current.paths == paths }) else {
                let reading = Reading(paths)
                chains.append(Chain(current: reading))
                return (reading, true)
            }
            if let next = chains[index].next { return (next, false) }
            let next = Reading(paths)
            chains[index].next = next
            return (next, false)
        }
        if begins { perform(reading) }
        return reading
    }

    /// What a reading has found, once it has ended.
    func contents(of reading: Reading) async throws(TemplateError) -> TemplateContents {
        if let contents = reading.contents.current { return contents }
        if let contents = await reading.contents.wait(atMost: nanoseconds, on: reactor) { return contents }
        if Task.isCancelled { throw .givenUp }
        throw obstacle(to: reading)
    }

    private func perform(_ reading: Reading) {
        pool.perform(in: .templates) { [self] in
            var ways = WayReader()
            let facts = reading.paths.map { path in
                reading.examined.withLock { $0 = (path, exec2_monotonic()) }
                let facts = read(path.path)
                // Through what does not exist no template leads.
                if facts.exists { ways.add(path.path) }
                return facts
            }
            reading.examined.withLock { $0 = nil }
            let next = chains.withLock { chains -> Reading? in
                guard let index = chains.firstIndex(where: { $0.current === reading }) else { return nil }
                guard let next = chains[index].next else {
                    chains.remove(at: index)
                    return nil
                }
                chains[index] = Chain(current: next)
                return next
            }
            reading.contents.set(TemplateContents(paths: facts, ways: ways.ways))
            if let next { perform(next) }
        }
    }

    /// The path that a reading hangs at, or that others hang at for which it waits.
    private func obstacle(to reading: Reading) -> TemplateError {
        let chains = chains.withLock { $0 }
        let own = chains.filter { $0.current.paths == reading.paths }
        guard let (path, since) = (own + chains).lazy.compactMap({ $0.current.examined.withLock { $0 } }).first else {
            return .notRead(seconds: nanoseconds / 1_000_000_000)
        }
        let seconds = (exec2_monotonic() - since) / 1_000_000_000
        return .unanswered(.reading, UnansweredPath(examined: path.examined, seconds: seconds))
    }
}

extension TemplateSpecification.Path {
    /// For errors.
    var examined: ExaminedPath {
        ExaminedPath(path: path, option: origin == LaunchPlanning.operatorsRules ? "unveil_paths" : nil)
    }
}
