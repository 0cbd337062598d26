import CLinux
import Glibc
import Shared
import Synchronization

/// Tells when nobody reads the log pipes of a task any more.
///
/// The Executor holds them open for reading, so that neither EPIPE nor POLLERR ever tells a missing
/// reader. What the kernel tells without being asked is that somebody has closed a pipe that was open for
/// reading only (inotify(7), IN_CLOSE_NOWRITE). Where no other reader is found some time later, /proc
/// being searched once for all such pipes, the log collector is gone. A collector that is only restarted,
/// or an operator who has looked into a pipe, is thus no news. Nothing is done as long as nobody closes.
final class LogReaders: Sendable {
    /// What a collector has to come back.
    static let graceSeconds: UInt64 = 10
    private static let grace = graceSeconds * 1_000_000_000
    /// Between two searches.
    private static let pause: UInt64 = 1_000_000_000

    fileprivate struct Pipe: Sendable {
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
    ///   - stateFolder: Of the task; the pipes in it are none of the logs.
    ///   - mayBeGone: Nobody has watched until now: looks whether there is a reader.
    ///   - report: Called with a sentence once for each time that a pipe has lost its reader.
    /// - Returns: What `forget` takes.
    func watch(
        executor: Int32, stateFolder: String, mayBeGone: Bool, _ report: @escaping @Sendable (String) -> Void
    ) -> [Int32] {
        var watches: [Int32] = []
        for (number, path) in OpenFiles.links(of: executor) where path.hasPrefix("/") && !path.hasPrefix(stateFolder) {
            let link = "/proc/\(executor)/fd/\(number)"
            guard let file = FileIdentity(fifo: link) else { continue }
            do throws(SystemError) {
                let pipe = Pipe(path: path, file: file, executor: executor, report: report)
                watches.append(try add(pipe, link, mayBeGone: mayBeGone))
            } catch {
                log.warn(
                    "cannot watch a task's log pipe: if its log collector ends, no event will say so",
                    ["path": path, "error": error.text])
            }
        }
        return watches
    }

    /// Ends a watch.
    func forget(_ watches: [Int32]) {
        state.withLock { state in
            guard let inotify = state.inotify else { return }
            for watch in watches where state.pipes.removeAndShrink(watch) != nil {
                inotify_rm_watch(inotify, watch)
            }
        }
    }

    private func add(_ pipe: Pipe, _ link: String, mayBeGone: Bool) throws(SystemError) -> Int32 {
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
        return watch
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
            do throws(SystemError) {
                try DetachedThread.start("the search for log readers", stackSize: 512 * 1024) { [self] in search() }
            } catch {
                state.withLock { $0.isSearchPlanned = false }
                log.warn("cannot look for the readers of log pipes", ["error": error.text])
            }
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
        let read = due.isEmpty ? [] : OpenFiles.read(among: due.map { ($0.file, besides: $0.executor) })
        for pipe in due where !read.contains(pipe.file) { pipe.report(Self.message(pipe.path)) }
        state.withLock { $0.isSearchPlanned = false }
        planSearch()
    }

    static func message(_ path: String) -> String {
        "nobody reads the task's log pipe \(path) any more: the log collector has left it and has not come back for "
            + "\(graceSeconds) s; what the task writes waits in the pipe, and once that is full (64 KiB) the task waits too"
    }
}

/// Which file it is, by whatever path.
struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    /// Nil where `path` does not lead to a FIFO.
    init?(fifo path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0, facts.st_mode & S_IFMT == S_IFIFO else { return nil }
        device = UInt64(facts.st_dev)
        inode = UInt64(facts.st_ino)
    }
}

/// The open files of processes, from /proc/<pid>/fd (proc_pid_fd(5)).
enum OpenFiles {
    /// Descriptor and what it leads to; none where the process is gone.
    static func links(of pid: Int32) -> [(number: String, path: String)] { (try? read(of: pid)) ?? [] }

    /// As above, but what cannot be read is an error, and not nothing.
    static func read(of pid: Int32) throws(SystemError) -> [(number: String, path: String)] {
        let folder = "/proc/\(pid)/fd"
        var links: [(number: String, path: String)] = []
        for number in try FolderList.read(folder) {
            if let path = try target(of: "\(folder)/\(number)") { links.append((number, path)) }
        }
        return links
    }

    /// Nil where the link is gone by now.
    private static func target(of link: String) throws(SystemError) -> String? {
        try withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { (buffer) throws(SystemError) in
            guard let text = buffer.baseAddress else { return nil }
            let count = readlink(link, text, buffer.count)
            guard count >= 0 else {
                if Errno.last == .noSuchFile { return nil }
                throw SystemError("read the link", link)
            }
            return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// Those of the FIFOs that a process has open for reading, besides the one named with each.
    static func read(among wanted: [(FileIdentity, besides: Int32)]) -> Set<FileIdentity> {
        let besides = Dictionary(wanted.map { ($0.0, $0.besides) }) { first, _ in first }
        var found: Set<FileIdentity> = []
        for pid in FolderList.names(in: "/proc") ?? [] {
            guard let process = Int32(pid) else { continue }
            for number in FolderList.names(in: "/proc/\(pid)/fd") ?? [] {
                guard let file = FileIdentity(fifo: "/proc/\(pid)/fd/\(number)"), let other = besides[file],
                    other != process, !found.contains(file), mayRead(pid, number)
                else { continue }
                found.insert(file)
            }
            if found.count == besides.count { break }
        }
        return found
    }

    private static func mayRead(_ pid: String, _ number: String) -> Bool {
        guard let bytes = try? HostFile.read("/proc/\(pid)/fdinfo/\(number)") else { return false }
        return mayRead(inFdinfo: String(decoding: bytes, as: UTF8.self))
    }

    /// By the line "flags:", which has open(2)'s flags in octal (proc_pid_fdinfo(5)).
    static func mayRead(inFdinfo text: String) -> Bool {
        for line in text.split(separator: "\n") where line.hasPrefix("flags:") {
            guard let flags = Int32(line.dropFirst(6).drop { $0 == "\t" || $0 == " " }, radix: 8) else { return false }
            return flags & EXEC2_O_PATH == 0 && flags & O_ACCMODE != O_WRONLY
        }
        return false
    }
}
