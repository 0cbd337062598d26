import CLinux
import EventLoop
import Glibc
import Shared

/// The loop of the tracer's thread: it waits for stops of the traced threads, reads their calls, and resumes them.
struct TraceLoop: ~Copyable {
    private let analysis: TraceAnalysis
    private let members: @Sendable () -> [Int32]
    private let isOver: @Sendable () -> Bool
    /// The traced threads, and the call that each is in; `noCall` outside of calls.
    private var threads: [Int32: PendingCall] = [:]
    private let noCall = PendingCall(nil, exec2_call())
    private var reader = CallReader()
    private var figures = Tracer.Figures()
    /// An Executor that has not cloned its task yet.
    private var launcher: Int32?
    /// The task's main process has not called execve yet: its calls are the Executor's.
    private var isLaunching = false
    private var hasRoot = false
    /// Processes that cannot be traced, and the processes that already trace them.
    private var foreign: [Int32] = []
    /// Threads that an earlier look could not trace although they have no tracer: most of them were about to end.
    private var refused: Set<Int32> = []
    private var tracers: [Int32] = []
    /// Threads that were seized but do not belong to the task: a process of the task had ended, and its pid was reused.
    private var strangers: Set<Int32> = []
    private var nextLook: UInt64 = 0

    /// How often to look for processes of the task that no traced thread has cloned, in nanoseconds.
    private static let lookInterval: UInt64 = 200_000_000

    init(
        analysis: TraceAnalysis, members: @escaping @Sendable () -> [Int32], isOver: @escaping @Sendable () -> Bool
    ) {
        self.analysis = analysis
        self.members = members
        self.isOver = isOver
    }

    /// - Parameter orders: Returns the orders that have arrived since the last call.
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
            handle(stop)
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
            // A thread that appears meanwhile was cloned by a traced one, and is traced, or is found by the next
            // iteration.
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

    /// Keeps the threads that belong to the task. The pid of a traced process cannot be reused, so that a process that
    /// is a member now was one when it was seized.
    private mutating func check(_ seized: [(thread: Int32, pid: Int32)]) {
        let known = Set(members())
        for (thread, pid) in seized {
            if known.contains(pid) {
                figures.threads += 1
                passRoot(thread)
            } else {
                // It may also be a process of the task that has ended.
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
            // A process that has ended cannot be traced, and may have been reaped by now.
            if ProcessFacts.isZombie(thread) || kill(thread, 0) != 0 { return false }
            let tracer = Self.tracer(of: thread)
            if tracer == getpid() { return false }
            if tracer == 0, refused.insert(thread).inserted { return false }
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

    /// The process that traces a thread, or 0. TracerPid is the number of the tracing thread.
    private static func tracer(of thread: Int32) -> Int32 {
        let tracer = number("TracerPid:", of: thread)
        return tracer == 0 ? 0 : number("Tgid:", of: tracer)
    }

    private static func number(_ field: String, of thread: Int32) -> Int32 {
        guard let status = try? HostFile.read("/proc/\(thread)/status") else { return 0 }
        return Int32(truncatingIfNeeded: TracedProcess.numbers(of: field, in: status, base: 10).last ?? 0)
    }

    // MARK: Stops

    private mutating func handle(_ stop: exec2_stop) {
        let thread = stop.thread
        // A thread that executes takes the number of its process's first one (ptrace(2)).
        if strangers.contains(thread) || stop.kind == EXEC2_STOP_EXEC && strangers.contains(stop.other) {
            leaveAlone(stop)
            return
        }
        switch stop.kind {
        case EXEC2_STOP_ENDED:
            threads[thread] = nil
            if thread == launcher { launcher = nil }
        case EXEC2_STOP_CALL:
            examineCall(of: thread)
            _ = exec2_trace_resume(thread, 0)
        case EXEC2_STOP_SIGNAL:
            // The process may ignore the signal, which would not interrupt a call without a tracer.
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

    /// Detaches from a stranger.
    private mutating func leaveAlone(_ stop: exec2_stop) {
        strangers.remove(stop.thread)
        if stop.kind == EXEC2_STOP_ENDED { return }
        if stop.kind == EXEC2_STOP_EXEC { strangers.remove(stop.other) }
        if stop.kind == EXEC2_STOP_CLONE, stop.other > 0 { leaveChildAlone(stop.other) }
        if stop.kind == EXEC2_STOP_BEGIN || stop.kind == EXEC2_STOP_SIGNAL { exec2_trace_begin_anew(stop.thread) }
        _ = exec2_trace_detach(stop.thread, stop.kind == EXEC2_STOP_SIGNAL ? stop.signal : 0)
    }

    /// The kernel has attached the child of a stranger that was not let go of yet.
    private mutating func leaveChildAlone(_ child: Int32) {
        strangers.insert(child)
        if threads.removeValue(forKey: child) != nil {
            figures.threads -= 1
            _ = exec2_trace_interrupt(child)
        }
    }

    private mutating func examineCall(of thread: Int32) {
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
            passRoot(thread)
            let error = Errno(rawValue: Int32(-info.result))
            if let attempt = reader.attempt(pending, error, thread) { analysis.add(attempt) }
        }
    }

    /// Gives the task's root to the analysis, once.
    private mutating func passRoot(_ thread: Int32) {
        guard !hasRoot, let root = try? OwnedDescriptor.open("/proc/\(thread)/root", EXEC2_O_PATH | O_DIRECTORY),
            let namespace = try? OwnedDescriptor.open("/proc/\(thread)/ns/mnt", O_RDONLY)
        else { return }
        hasRoot = true
        analysis.setRoot(root, namespace: namespace)
    }
}
