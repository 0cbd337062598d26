import CLinux
import EventLoop
import Glibc
import Shared

/// What the tracer's thread does: it takes stops of the threads that it traces, looks, and lets them run on.
struct TraceLoop: ~Copyable {
    private let analysis: TraceAnalysis
    private let members: @Sendable () -> [Int32]
    private let isOver: @Sendable () -> Bool
    /// Those that are traced, and the call that each is in; `noCall` for none.
    private var threads: [Int32: PendingCall] = [:]
    private let noCall = PendingCall(nil, exec2_call())
    private var reader = CallReader()
    private var figures = Tracer.Figures()
    /// An Executor that has not cloned its task yet.
    private var launcher: Int32?
    /// The task's main process is on its way to execve: what it does is the Executor's.
    private var isLaunching = false
    private var hasRoot = false
    /// Processes that cannot be traced, and those that trace them.
    private var foreign: [Int32] = []
    private var tracers: [Int32] = []
    /// Threads of other processes: a number of the task's was another's by the time at which it was used.
    private var strangers: Set<Int32> = []
    private var nextLook: UInt64 = 0

    /// How often new processes are looked for that none of the traced has cloned, in nanoseconds.
    private static let lookInterval: UInt64 = 200_000_000

    init(
        analysis: TraceAnalysis, members: @escaping @Sendable () -> [Int32], isOver: @escaping @Sendable () -> Bool
    ) {
        self.analysis = analysis
        self.members = members
        self.isOver = isOver
    }

    /// - Parameter orders: Takes what there is to do.
    mutating func run(_ orders: () -> Tracer.Orders) -> Tracer.Figures {
        let began = exec2_monotonic()
        var stop = exec2_stop()
        while true {
            let now = exec2_monotonic()
            if now >= nextLook {
                nextLook = now + Self.lookInterval
                seizeMembers()
                if isOver() { break }
            }
            let orders = orders()
            for (pid, done) in orders.launchers { done(follow(pid)) }
            if orders.ends { break }
            guard exec2_trace_wait(&stop, 100) == 1 else { continue }
            let stopped = exec2_monotonic()
            take(stop)
            figures.held += exec2_monotonic() - stopped
        }
        figures.elapsed = exec2_monotonic() - began
        figures.leftOut = reader.leftOut
        figures.foreign = foreign.count
        return figures
    }

    private mutating func follow(_ pid: Int32) -> SystemError? {
        guard exec2_trace_seize(pid, 1) == 0 else { return SystemError("trace", "process \(pid)") }
        launcher = pid
        isLaunching = true
        return nil
    }

    // MARK: Processes that run

    private mutating func seizeMembers() {
        var seized: [(thread: Int32, pid: Int32)] = []
        for pid in members() {
            var again = true
            // Threads that appear meanwhile are those of threads that are traced already, or are found by the next turn.
            while again {
                again = false
                for name in DirectoryListing.names(in: "/proc/\(pid)/task") ?? [] {
                    guard let thread = Int32(name), threads[thread] == nil, !foreign.contains(pid) else { continue }
                    guard seize(thread, of: pid) else { continue }
                    seized.append((thread, pid))
                    again = true
                }
            }
        }
        if !seized.isEmpty { check(seized) }
    }

    /// Takes those that are the task's. The number of a process that is traced is given to no other, so that who is in the list
    /// now was it before as well.
    private mutating func check(_ seized: [(thread: Int32, pid: Int32)]) {
        let known = Set(members())
        for (thread, pid) in seized {
            if known.contains(pid) {
                figures.threads += 1
                takeRoot(thread)
            } else {
                // Or it has ended.
                threads[thread] = nil
                strangers.insert(thread)
            }
            _ = exec2_trace_interrupt(thread)
        }
    }

    private mutating func seize(_ thread: Int32, of pid: Int32) -> Bool {
        guard exec2_trace_seize(thread, 0) == 0 else {
            let error = Errno.last
            if error == .noSuchProcess { return false }
            // One that has ended cannot be traced either, and may be gone by now.
            if ProcessFacts.isZombie(thread) || kill(thread, 0) != 0 { return false }
            let tracer = Self.tracer(of: thread)
            if tracer == getpid() { return false }
            foreign.append(pid)
            if tracer == 0 {
                if figures.failure == nil { analysis.say("process \(pid) is left alone: \(error.text)") }
                figures.failure = SystemError("trace", "process \(pid)", error)
            } else if !tracers.contains(tracer) {
                tracers.append(tracer)
                analysis.say("process \(pid), and whatever else process \(tracer) traces already, is left alone")
            }
            return false
        }
        threads[thread] = noCall
        return true
    }

    /// The process that traces a thread, or 0. The kernel names that process's thread.
    private static func tracer(of thread: Int32) -> Int32 {
        let tracer = number("TracerPid:", of: thread)
        return tracer == 0 ? 0 : number("Tgid:", of: tracer)
    }

    private static func number(_ field: String, of thread: Int32) -> Int32 {
        guard let status = try? HostFile.read("/proc/\(thread)/status") else { return 0 }
        return Int32(truncatingIfNeeded: TracedProcess.numbers(of: field, in: status, base: 10).last ?? 0)
    }

    // MARK: Stops

    private mutating func take(_ stop: exec2_stop) {
        let thread = stop.thread
        if strangers.contains(thread) {
            leaveAlone(stop)
            return
        }
        switch stop.kind {
        case EXEC2_STOP_ENDED:
            threads[thread] = nil
            if thread == launcher { launcher = nil }
        case EXEC2_STOP_CALL:
            look(thread)
            _ = exec2_trace_resume(thread, 0)
        case EXEC2_STOP_SIGNAL:
            // It may be one that the process ignores, and that interrupts nothing without a tracer.
            exec2_trace_begin_anew(thread)
            _ = exec2_trace_resume(thread, stop.signal)
        case EXEC2_STOP_GROUP: _ = exec2_trace_listen(thread)
        case EXEC2_STOP_BEGIN:
            if threads[thread] == nil {
                threads[thread] = noCall
                figures.threads += 1
            }
            if isLaunching { _ = exec2_trace_adopt(thread) }
            exec2_trace_begin_anew(thread)
            _ = exec2_trace_resume(thread, 0)
        case EXEC2_STOP_CLONE, EXEC2_STOP_EXIT:
            guard thread == launcher else {
                _ = exec2_trace_resume(thread, 0)
                return
            }
            _ = exec2_trace_detach(thread, 0)
            launcher = nil
        case EXEC2_STOP_EXEC:
            isLaunching = false
            if stop.other != thread { threads[stop.other] = nil }
            threads[thread] = noCall
            _ = exec2_trace_resume(thread, 0)
        default: _ = exec2_trace_resume(thread, 0)
        }
    }

    /// Lets a stranger run on as it is.
    private mutating func leaveAlone(_ stop: exec2_stop) {
        strangers.remove(stop.thread)
        if stop.kind == EXEC2_STOP_ENDED { return }
        if stop.kind == EXEC2_STOP_BEGIN || stop.kind == EXEC2_STOP_SIGNAL { exec2_trace_begin_anew(stop.thread) }
        _ = exec2_trace_detach(stop.thread, stop.kind == EXEC2_STOP_SIGNAL ? stop.signal : 0)
    }

    private mutating func look(_ thread: Int32) {
        var info = exec2_call()
        guard exec2_trace_call(thread, &info) == 0 else { return }
        if info.place == 1 {
            figures.calls += 1
            let pending = reader.pending(info, thread)
            threads[thread] = isLaunching && pending?.call?.kind != .execute ? noCall : pending ?? noCall
        } else if info.place == 2 {
            guard let pending = threads[thread], pending !== noCall else { return }
            threads[thread] = noCall
            guard info.failed != 0, info.result < 0, info.result > -4096 else { return }
            takeRoot(thread)
            let error = Errno(rawValue: Int32(-info.result))
            if let attempt = reader.attempt(pending, error, thread) { analysis.add(attempt) }
        }
    }

    private mutating func takeRoot(_ thread: Int32) {
        guard !hasRoot, let root = try? OwnedDescriptor.open("/proc/\(thread)/root", EXEC2_O_PATH | O_DIRECTORY),
            let namespace = try? OwnedDescriptor.open("/proc/\(thread)/ns/mnt", O_RDONLY)
        else { return }
        hasRoot = true
        analysis.take(root: root, namespace: namespace)
    }
}
