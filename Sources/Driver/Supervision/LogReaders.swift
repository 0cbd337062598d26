import CLinux
import EventLoop
import Glibc
import HCLog
import Shared

/// Reports when the log pipes of a task have lost their reader.
///
/// The Executor holds them open for reading, so that neither EPIPE nor POLLERR ever tells a missing
/// reader. What the kernel tells without being asked is that somebody has closed a pipe that was open for
/// reading only (inotify(7), IN_CLOSE_NOWRITE). Where no other reader is found some time later, /proc
/// being searched once for all such pipes, the log collector is gone. A collector that is only restarted,
/// or an operator who has looked into a pipe, is thus not reported. Nothing is done until a pipe is closed.
final class LogReaders: Sendable {
    /// What a collector has to come back.
    static let graceSeconds: UInt64 = 10
    private static let grace = graceSeconds * 1_000_000_000
    /// Between two searches.
    private static let pause: UInt64 = 1_000_000_000

    /// What `forget` takes. A task that is started anew has the same pipes, and for the same file the kernel gives the
    /// same watch descriptor.
    struct Watch: Hashable, Sendable {
        fileprivate let descriptor: Int32
        fileprivate let number: UInt64
    }

    fileprivate struct Pipe: Sendable {
        let number: UInt64
        let path: String
        let file: FileIdentity
        /// It holds the pipe open for reading and does not count.
        let executor: Int32
        let report: @Sendable (_ message: String) -> Void
        /// When a reader left; nil where none has, or where that was looked into.
        var suspectSince: UInt64?
    }

    private struct State {
        var inotify: Int32?
        /// By watch descriptor.
        var pipes: [Int32: Pipe] = [:]
        var nextNumber: UInt64 = 0
        var isSearchPlanned = false
    }

    private let reactor: Reactor
    private let log: Logger
    private let state = Mutex(State())

    init(reactor: Reactor, log: Logger) {
        self.reactor = reactor
        self.log = log
    }

    /// Begins to watch the log pipes that an Executor holds.
    /// - Parameters:
    ///   - stateDirectory: That of the task, whose pipes are not watched.
    ///   - mayBeGone: The pipes were not watched until now: looks whether they have a reader.
    ///   - report: Called with a sentence once for each time that a pipe has lost its reader.
    func watch(
        executor: Int32, stateDirectory: String, mayBeGone: Bool, _ report: @escaping @Sendable (String) -> Void
    ) -> [Watch] {
        var watches: [Watch] = []
        for (link, path, file) in Self.logPipes(of: executor, besides: stateDirectory) {
            do throws(SystemError) {
                let pipe = Pipe(number: nextNumber(), path: path, file: file, executor: executor, report: report)
                watches.append(try add(pipe, link, mayBeGone: mayBeGone))
            } catch {
                // A short task has ended meanwhile, and its Executor with it: there is nothing to watch any more.
                if error.errno == .noSuchFile { continue }
                log.warn(
                    "cannot watch a task's log pipe: if its log collector ends, no event will say so",
                    ["path": path, "error": error.text])
            }
        }
        return watches
    }

    /// Those that an Executor with what a standby has made opens its log pipes at. For each descriptor that is looked at,
    /// and for all in a listed directory, the kernel keeps an inode and a name, about a KiB, until the Executor ends.
    private static let usualNumbers: ClosedRange<Int32> = 13...16

    /// The log pipes that an Executor holds: all FIFOs that are not in the task's state directory.
    private static func logPipes(
        of executor: Int32, besides stateDirectory: String
    ) -> [(link: String, path: String, file: FileIdentity)] {
        func logPipe(_ link: String, _ path: String) -> (link: String, path: String, file: FileIdentity)? {
            // What is open on a detached mount of the pipe, as the task's descriptors that the Executor has not closed
            // yet, has the path "/".
            guard path.hasPrefix("/"), path != "/", !path.hasPrefix(stateDirectory),
                let file = FileIdentity(fifo: link)
            else { return nil }
            return (link, path, file)
        }
        var pipes: [(link: String, path: String, file: FileIdentity)] = []
        for number in usualNumbers.reversed() where pipes.count < 2 {
            let link = "/proc/\(executor)/fd/\(number)"
            guard let path = try? OpenFiles.target(of: link), let pipe = logPipe(link, path) else { continue }
            pipes.append(pipe)
        }
        // An Executor has those of stdout and stderr, and no more.
        if pipes.count == 2 { return pipes }
        return OpenFiles.links(of: executor).compactMap { logPipe("/proc/\(executor)/fd/\($0.number)", $0.path) }
    }

    private func nextNumber() -> UInt64 {
        state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
    }

    /// Ends watches, but for those of pipes that a later task has.
    func forget(_ watches: [Watch]) {
        state.withLock { state in
            guard let inotify = state.inotify else { return }
            for watch in watches where state.pipes[watch.descriptor]?.number == watch.number {
                _ = state.pipes.removeAndShrink(watch.descriptor)
                inotify_rm_watch(inotify, watch.descriptor)
            }
        }
    }

    private func add(_ pipe: Pipe, _ link: String, mayBeGone: Bool) throws(SystemError) -> Watch {
        let watch = try state.withLock { (state) throws(SystemError) -> Int32 in
            let inotify: Int32
            if let opened = state.inotify { inotify = opened } else { inotify = try open() }
            state.inotify = inotify
            let watch = inotify_add_watch(inotify, link, UInt32(IN_CLOSE_NOWRITE))
            guard watch >= 0 else { throw SystemError("watch", pipe.path) }
            state.pipes[watch] = pipe
            if mayBeGone { state.pipes[watch]?.suspectSince = exec2_monotonic() }
            return watch
        }
        if mayBeGone { planSearch() }
        return Watch(descriptor: watch, number: pipe.number)
    }

    /// One for all tasks, with the first of them, until the process ends.
    private func open() throws(SystemError) -> Int32 {
        // IN_NONBLOCK and IN_CLOEXEC are these (inotify_init(2)).
        let inotify = inotify_init1(O_NONBLOCK | O_CLOEXEC)
        guard inotify >= 0 else { throw SystemError("create", "an inotify instance") }
        do throws(SystemError) {
            _ = try reactor.watch(inotify) { [self] in readersLeft(inotify) }
        } catch {
            close(inotify)
            throw error
        }
        return inotify
    }

    private func readersLeft(_ inotify: Int32) {
        withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 8) { buffer in
            while true {
                let count = retrying { read(inotify, buffer.baseAddress, buffer.count) }
                guard count > 0 else { return }
                state.withLock { state in
                    var offset = 0
                    let header = MemoryLayout<inotify_event>.size
                    while offset + header <= count {
                        let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                        offset += header + Int(event.len)
                        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 {
                            for watch in state.pipes.keys { state.pipes[watch]?.suspectSince = exec2_monotonic() }
                        } else if event.mask & UInt32(IN_CLOSE_NOWRITE) != 0 {
                            state.pipes[event.wd]?.suspectSince = exec2_monotonic()
                        }
                    }
                }
            }
        }
        planSearch()
    }

    // MARK: The search

    private func planSearch() {
        let wait = state.withLock { state -> UInt64? in
            guard !state.isSearchPlanned, let first = state.pipes.values.compactMap(\.suspectSince).min() else {
                return nil
            }
            state.isSearchPlanned = true
            let now = exec2_monotonic()
            return max(first + Self.grace, now + Self.pause) - now
        }
        guard let wait else { return }
        _ = reactor.after(wait) { [self] in
            // /proc has a name for every open file of the host: not on the thread that all tasks share.
            BlockingPool.shared.perform { [self] in search() }
        }
    }

    private func search() {
        let now = exec2_monotonic()
        let due = state.withLock { state in
            var due: [Pipe] = []
            for (watch, pipe) in state.pipes {
                guard let since = pipe.suspectSince, since + Self.grace <= now else { continue }
                state.pipes[watch]?.suspectSince = nil
                due.append(pipe)
            }
            return due
        }
        let read =
            due.isEmpty
            ? [] : OpenFiles.read(among: due.map { .init(path: $0.path, file: $0.file, besides: $0.executor) })
        for pipe in due where !read.contains(pipe.file) { pipe.report(Self.message(pipe.path)) }
        state.withLock { $0.isSearchPlanned = false }
        planSearch()
    }

    static func message(_ path: String) -> String {
        "nobody reads the task's log pipe \(path) any more: the log collector has left it and has not come back for "
            + "\(graceSeconds) s; what the task writes waits in the pipe, and once that is full (64 KiB) the task waits too"
    }
}
