import CLinux
import EventLoop
import Glibc
import HCLog
import Planning
import Shared

/// Reads from the kernel's audit log what tasks are denied, and tells it in their events.
///
/// One socket for all tasks, open only while the plugin option denial_events is on, and read on the reactor's thread.
final class DenialReader: Sendable {
    private struct State {
        var socket: (number: Int32, watch: Reactor.Watch)?
        var router = DenialRouter()
        var ledger = DenialLedger()
        /// How many more times creators are looked for.
        var attempts = 0
        var isPlanned = false
        var lost = RepeatLimit(period: 60_000_000_000)
        var failures = RepeatLimit(period: 60_000_000_000)
    }

    /// A record is no longer (linux/audit.h, MAX_AUDIT_MESSAGE_LENGTH), its header included.
    private static let recordBytes = 9216
    /// In one go; the rest waits until other descriptors were looked at.
    private static let recordsAtOnce = 256
    /// Between two looks for the creator of a domain: the program may be denied something before its Executor has said
    /// that it runs.
    private static let pause: UInt64 = 200_000_000
    private static let attempts = 20

    private let reactor: Reactor
    private let log: Logger
    private let state = Mutex(State())

    init(reactor: Reactor, log: Logger) {
        self.reactor = reactor
        self.log = log
    }

    /// Begins to read, if it does not yet.
    /// - Parameter tasks: Every task that is known.
    func open(_ tasks: @escaping @Sendable () -> [SupervisedTask]) {
        let error = state.withLock { state -> SystemError? in
            if state.socket != nil { return nil }
            let number = exec2_audit_open()
            guard number >= 0 else { return SystemError("read", "the kernel's audit log") }
            do throws(SystemError) {
                let watch = try reactor.watch(number) { [self] in receive(number, tasks) }
                state.socket = (number, watch)
                return nil
            } catch {
                Glibc.close(number)
                return error
            }
        }
        if let error, state.withLock({ $0.failures.occurrence(at: exec2_monotonic()) }) != nil {
            log.warn("denials of tasks are not told in their events", ["error": error.text])
        }
    }

    /// Ends it.
    func close() {
        guard
            let (number, watch) = state.withLock({ state -> (Int32, Reactor.Watch)? in
                defer { state.socket = nil }
                return state.socket.map { ($0.number, $0.watch) }
            })
        else { return }
        reactor.unwatch(watch, number)
        // On the reactor's thread, which may be reading it.
        reactor.perform { Glibc.close(number) }
    }

    private func receive(_ socket: Int32, _ tasks: @escaping @Sendable () -> [SupervisedTask]) {
        var records: [LandlockRecord] = []
        withUnsafeTemporaryAllocation(byteCount: Self.recordBytes, alignment: 8) { buffer in
            for _ in 0..<Self.recordsAtOnce {
                let count = exec2_audit_receive(socket, buffer.baseAddress, UInt64(buffer.count))
                if count < 0 && Errno.last.rawValue == ENOBUFS { noteLoss() }
                guard count > 0 else { return }
                if let record = Self.record(buffer, Int(count)) { records.append(record) }
            }
        }
        guard !records.isEmpty else { return }
        let now = exec2_monotonic()
        let (denials, isWaiting) = state.withLock { state in
            let denials = records.compactMap { state.router.take($0, at: now) }
            let isWaiting = !state.router.unresolved.isEmpty
            if isWaiting { state.attempts = Self.attempts }
            return (denials, isWaiting)
        }
        if !denials.isEmpty {
            let known = tasks()
            for (id, denial) in denials { if let task = known.first(where: { $0.id == id }) { tell(task, denial) } }
        }
        if isWaiting { plan(after: 0, tasks) }
    }

    private static func record(_ buffer: UnsafeMutableRawBufferPointer, _ count: Int) -> LandlockRecord? {
        var offset: UInt32 = 0
        var length: UInt32 = 0
        let kind: LandlockRecord.Kind
        switch exec2_audit_type(buffer.baseAddress, UInt64(count), &offset, &length) {
        case EXEC2_AUDIT_LANDLOCK_ACCESS.rawValue: kind = .access
        case EXEC2_AUDIT_LANDLOCK_DOMAIN.rawValue: kind = .domain
        default: return nil
        }
        return LandlockRecord(kind, text: Array(buffer[Int(offset)..<Int(offset) + Int(length)]))
    }

    private func noteLoss() {
        guard let count = state.withLock({ $0.lost.occurrence(at: exec2_monotonic()) }) else { return }
        log.warn("records of the kernel's audit log were lost: some denials of tasks are not told", ["times": count])
    }

    private func tell(_ task: SupervisedTask, _ denial: LandlockDenial) {
        let message = state.withLock { $0.ledger.message(denial, of: task.id, at: exec2_monotonic()) }
        if let message { task.tell(message) }
    }

    // MARK: Whose a domain is

    private func plan(after nanoseconds: UInt64, _ tasks: @escaping @Sendable () -> [SupervisedTask]) {
        let isFirst = state.withLock { state in
            defer { state.isPlanned = true }
            return !state.isPlanned
        }
        guard isFirst else { return }
        _ = reactor.after(nanoseconds) { [self] in
            // It reads files of /proc.
            BlockingPool.shared.perform { [self] in resolve(tasks) }
        }
    }

    private func resolve(_ tasks: @escaping @Sendable () -> [SupervisedTask]) {
        let known = tasks()
        // The kernel numbers domains upwards: what a task was denied is told in that order.
        let unresolved = state.withLock { $0.router.unresolved.sorted { $0.domain < $1.domain } }
        let found = unresolved.compactMap { domain, creator -> (domain: UInt64, task: SupervisedTask)? in
            guard creator.isExecutors, let task = Self.task(of: creator.pid, among: known) else { return nil }
            return (domain, task)
        }
        // On one thread, so that a task's denials are told in their order.
        reactor.perform { [self] in
            for (domain, task) in found {
                let denials = state.withLock { $0.router.resolve(domain, to: task.id) }
                for denial in denials { tell(task, denial) }
            }
            forget(besides: known, tasks)
        }
    }

    /// Forgets what is not needed any more, and plans another look if some sandboxes have no known task yet.
    private func forget(besides known: [SupervisedTask], _ tasks: @escaping @Sendable () -> [SupervisedTask]) {
        let ids = Set(known.map(\.id))
        let isWaiting = state.withLock { state in
            state.isPlanned = false
            state.router.prune(at: exec2_monotonic()) { ids.contains($0) }
            state.ledger.keep { ids.contains($0) }
            state.attempts -= 1
            return state.attempts > 0 && !state.router.unresolved.isEmpty
        }
        if isWaiting { plan(after: Self.pause, tasks) }
    }

    /// The task whose main process it is; else the one in whose cgroup it is, as a command; else the one whose main
    /// process it was, the newest of them.
    private static func task(of pid: Int32, among tasks: [SupervisedTask]) -> SupervisedTask? {
        let mains = tasks.filter { $0.started?.pid == pid }
        if let running = mains.first(where: { $0.end == nil }) { return running }
        let cgroup = (try? HostFile.read("/proc/\(pid)/cgroup")).flatMap { unifiedCgroup($0) } ?? []
        // Below the mount point, whatever that is; / is of no task.
        if cgroup.count > 1,
            let inside = tasks.first(where: { $0.cgroup.utf8.reversed().starts(with: cgroup.reversed()) })
        {
            return inside
        }
        return mains.max { ($0.started?.startedAt ?? 0) < ($1.started?.startedAt ?? 0) }
    }

    /// The path in the line of cgroup v2, `0::/nomad.slice/x.scope` (cgroups(7)).
    static func unifiedCgroup(_ text: [UInt8]) -> ArraySlice<UInt8>? {
        let start = Array("0::".utf8)
        return text.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: start) }?.dropFirst(start.count)
    }
}
