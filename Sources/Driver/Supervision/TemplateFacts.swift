import CLinux
import EventLoop
import Glibc
import Host
import Planning
import Shared

/// The object that a path leads to; zeros if it does not exist.
struct PathFacts: Equatable, Sendable {
    private let device: UInt
    private let inode: UInt

    /// Blocks if the path's file system does not respond.
    init(_ path: String) {
        var facts = stat()
        let exists = stat(path, &facts) == 0
        device = exists ? UInt(facts.st_dev) : 0
        inode = exists ? UInt(facts.st_ino) : 0
    }

    var exists: Bool { inode != 0 || device != 0 }

    /// What has happened to the paths whose facts differ, such as "replaced /etc/hosts".
    static func changes(
        of paths: [TemplateSpecification.Path], from before: [PathFacts], to now: [PathFacts]
    ) -> [String] {
        zip(paths, zip(before, now)).compactMap { path, facts in
            guard facts.0 != facts.1 else { return nil }
            return (!facts.0.exists ? "added " : facts.1.exists ? "replaced " : "removed ") + path.path
        }
    }
}

/// Reads the objects and directories of templates' paths, once for all simultaneous starts.
///
/// A path may be on a file system that does not respond, and the thread that reads it then blocks in the kernel. So
/// there is one such thread for each set of paths, however many starts there are, and the error of a start names the
/// path. No start waits longer than `maximumNanoseconds`.
///
/// A start gets only what was read after it began: a start that begins during a reading waits for the next one,
/// together with all others that began meanwhile.
package final class TemplateFacts: Sendable {
    static let maximumNanoseconds: UInt64 = SharedHostFacts.maximumNanoseconds

    /// One reading of all paths of a template.
    package final class Reading: Sendable {
        let paths: [TemplateSpecification.Path]
        fileprivate let contents = OneShot<TemplateContents>()
        /// The path that is being read, and since when; nil if none is.
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
    private let chains = Mutex<[Chain]>([])
    /// The result of the last reading.
    private let last = Mutex<(paths: [TemplateSpecification.Path], contents: TemplateContents)?>(nil)

    init(reactor: Reactor, pool: BlockingPool = .shared, nanoseconds: UInt64 = maximumNanoseconds) {
        self.reactor = reactor
        self.pool = pool
        self.nanoseconds = nanoseconds
    }

    /// A reading that begins after this call. Returns at once.
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

    /// Waits for the result of a reading.
    func contents(of reading: Reading) async throws(TemplateError) -> TemplateContents {
        if let contents = reading.contents.current { return contents }
        if let contents = await reading.contents.wait(atMost: nanoseconds, on: reactor) { return contents }
        if Task.isCancelled { throw .givenUp }
        throw obstacle(to: reading)
    }

    private func perform(_ reading: Reading) {
        pool.perform(in: .templates) { [self] in
            let paths = reading.paths
            let earlier = last.withLock { $0?.paths == paths ? $0?.contents : nil }
            let contents = TemplateContents.read(paths, earlier: earlier) { index in
                reading.examined.withLock { $0 = (paths[index], exec2_monotonic()) }
            }
            reading.examined.withLock { $0 = nil }
            last.withLock { $0 = (paths, contents) }
            let next = chains.withLock { chains -> Reading? in
                guard let index = chains.firstIndex(where: { $0.current === reading }) else { return nil }
                guard let next = chains[index].next else {
                    chains.remove(at: index)
                    return nil
                }
                chains[index] = Chain(current: next)
                return next
            }
            reading.contents.set(contents)
            if let next { perform(next) }
        }
    }

    /// The error for a reading that is late: it names the path that this reading hangs at, or another one, if that
    /// keeps this reading from beginning.
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
