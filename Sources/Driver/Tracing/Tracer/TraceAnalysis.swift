import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// Finds out which attempts the sandbox has refused, and why: one after the other, on another thread than the tracer's,
/// since the host's files may be on a file system that does not respond, and the task's threads must not wait for that.
package final class TraceAnalysis: Sendable {
    private struct State {
        /// Nil: is already analysed.
        var queue: [Attempt?] = []
        /// The index of the first attempt in `queue` that is not analysed.
        var first = 0
        /// The memory that the attempts in `queue` take, and that of the findings.
        var waitingBytes = 0
        var foundBytes = 0
        /// The number of attempts and findings that were dropped to bound the memory.
        var leftOut = 0
        /// A thread of the pool is working on the queue.
        var isBusy = false
        /// The path that it is looking at.
        var subject = ""
        var findings: [Finding] = []
        var titles: Set<ExactText> = []
        /// How many of the findings an earlier try has reported.
        var earlier = 0
        /// A process of root's has tried to read the host's accounts.
        var rootWantsAccounts = false
    }

    private let state = Mutex(State())
    private let walk = Mutex<HostWalk?>(nil)
    private let filter: @Sendable () -> [UInt8]
    private let knownFilter = OneShot<[UInt8]>()
    private let output: @Sendable (String) -> Void

    /// - Parameters:
    ///   - filter: Returns the task's seccomp filter. It is called at most once, on a thread that may block.
    ///   - output: Takes one line at a time, on a thread that may block.
    ///   - earlier: The analysis of the previous try: its findings are not reported again, but are part of
    ///     `suggestion`.
    package init(
        filter: @escaping @Sendable () -> [UInt8], output: @escaping @Sendable (String) -> Void,
        after earlier: TraceAnalysis? = nil
    ) {
        self.filter = filter
        self.output = output
        guard let earlier = earlier?.state.withLock({ $0 }) else { return }
        state.withLock { state in
            state.findings = earlier.findings
            state.earlier = earlier.findings.count
            state.titles = earlier.titles
            state.foundBytes = earlier.foundBytes
            state.rootWantsAccounts = earlier.rootWantsAccounts
        }
    }

    /// The findings of this try that no earlier try has reported, in the order of their discovery.
    var findings: [Finding] { state.withLock { Array($0.findings.dropFirst($0.earlier)) } }

    /// Whether an earlier try has reported findings.
    var hasEarlierFindings: Bool { state.withLock { $0.earlier > 0 } }

    /// What would have allowed everything that was denied in this try and the earlier ones.
    var suggestion: Suggestion {
        state.withLock { Suggestion($0.findings, rootWantsAccounts: $0.rootWantsAccounts) }
    }

    /// Sets the task's root directory and its mount namespace, once a thread of the task is in it.
    func setRoot(_ root: consuming OwnedDescriptor, namespace: consuming OwnedDescriptor) {
        // Duplicated, since a parameter that a closure captures cannot be consumed.
        let (number, other) = (exec2_duplicate(root.number, 16), exec2_duplicate(namespace.number, 16))
        guard number >= 0, other >= 0 else { return }
        walk.withLock {
            $0 = HostWalk(root: OwnedDescriptor(owning: number), namespace: OwnedDescriptor(owning: other))
        }
    }

    /// Outputs a line that is not about a denial.
    package func say(_ line: String) {
        BlockingPool.shared.perform { [self] in output(line) }
    }

    /// The number of attempts and findings that were dropped: a task chooses how many paths it tries, and how long they
    /// are.
    var leftOut: Int { state.withLock { $0.leftOut } }

    /// The limit of memory for the queue, and for the findings.
    private static let maximumBytes = 16 << 20

    func add(_ attempt: Attempt) {
        let begins = state.withLock { state in
            guard state.waitingBytes < Self.maximumBytes else {
                state.leftOut += 1
                return false
            }
            state.waitingBytes += attempt.size
            state.queue.append(attempt)
            defer { state.isBusy = true }
            return !state.isBusy
        }
        if begins { BlockingPool.shared.perform { [self] in work() } }
    }

    /// Waits until all attempts are analysed, for up to `patience`. Returns the path that it is still looking at then.
    package func finish() -> String? {
        let end = exec2_monotonic() + Self.patience
        while true {
            let subject = state.withLock { $0.isBusy ? $0.subject : nil }
            guard let subject else { return nil }
            if exec2_monotonic() > end { return subject }
            usleep(2000)
        }
    }

    /// Nanoseconds.
    private static let patience: UInt64 = 3_000_000_000

    private func work() {
        while true {
            let next = state.withLock { state -> Attempt? in
                guard state.first < state.queue.count else {
                    state.queue = []
                    state.first = 0
                    state.isBusy = false
                    return nil
                }
                let attempt = state.queue[state.first]
                state.queue[state.first] = nil
                state.first += 1
                state.waitingBytes -= attempt?.size ?? 0
                state.subject = attempt?.paths.first ?? ""
                return attempt
            }
            guard let next else { return }
            for finding in findings(of: next) { report(finding, next) }
        }
    }

    private func report(_ finding: Finding, _ attempt: Attempt) {
        let isNew = state.withLock { state in
            if finding.isOfAccounts && attempt.process.uid == 0 { state.rootWantsAccounts = true }
            guard !state.titles.contains(ExactText(finding.title)) else { return false }
            guard state.foundBytes < Self.maximumBytes else {
                state.leftOut += 1
                return false
            }
            state.titles.insert(ExactText(finding.title))
            state.foundBytes += finding.size
            state.findings.append(finding)
            return true
        }
        if isNew { output(finding.line(attempt.process, call: attempt.name)) }
    }

    private var filterBytes: [UInt8] {
        if let known = knownFilter.current { return known }
        knownFilter.set(filter())
        return knownFilter.current ?? []
    }

    // MARK: One attempt

    private func findings(of attempt: Attempt) -> [Finding] {
        if let finding = CallDecision.finding(attempt, filter: dependsOnFilter(attempt) ? filterBytes : []) {
            return [finding]
        }
        guard let call = attempt.call else { return [] }
        if attempt.error == .crossDeviceLink { return crossing(attempt) }
        return attempt.paths.indices.compactMap { finding(call, attempt.paths[$0], isSecond: $0 == 1, attempt) }
    }

    private func dependsOnFilter(_ attempt: Attempt) -> Bool {
        attempt.paths.isEmpty && attempt.error != .permissionDenied
            || attempt.address != nil && attempt.error.rawValue == EOPNOTSUPP
    }

    private func finding(_ call: TracedCall, _ path: String, isSecond: Bool, _ attempt: Attempt) -> Finding? {
        guard var access = RequestedAccess(call.kind, flags: attempt.flags) else { return nil }
        switch call.kind {
        case .map where attempt.error != .notPermitted || attempt.flags & UInt64(PROT_EXEC) == 0: return nil
        case .control where attempt.error != .permissionDenied || !path.hasPrefix("/dev/"): return nil
        case .link where !isSecond: access = RequestedAccess(.read, permission: [], followsLink: false)
        case .rename where !isSecond, .remove:
            // If it does not exist on the host, the call would have failed without the sandbox too.
            let exists = facts(path, access, attempt)?.object != nil
            if !exists { return nil }
        default: break
        }
        guard let facts = facts(path, access, attempt) else { return nil }
        let error = call.kind == .map ? Errno.permissionDenied : attempt.error
        if call.kind == .execute, error == .noSuchFile, facts.isObjectVisible {
            return interpreter(of: facts.rule, requestedAs: path, attempt)
        }
        return PathDecision.finding(access, error, facts, attempt.process)?.requested(as: path)
    }

    private func facts(_ path: String, _ access: RequestedAccess, _ attempt: Attempt) -> PathFacts? {
        walk.withLock { walk -> PathFacts? in
            switch walk {
            case .some(let walk): walk.facts(of: path, followsLink: access.followsLink, attempt.process)
            case .none: nil
            }
        }
    }

    /// A program that exists in the task's root but cannot be run, since its interpreter or loader is not unveiled.
    /// - Parameter path: The path of the program itself, not of a symlink to it.
    private func interpreter(of path: String, requestedAs requested: String, _ attempt: Attempt) -> Finding? {
        let found = walk.withLock { walk -> String? in
            switch walk {
            case .some(let walk): walk.interpreter(of: path)
            case .none: nil
            }
        }
        let access = RequestedAccess([.read, .execute], permission: .execute)
        guard let found, let facts = facts(found, access, attempt) else { return nil }
        return PathDecision.finding(access, .noSuchFile, facts, attempt.process)?.requested(as: requested)
    }

    /// A rename or a link between two rules, each of which is a mount.
    private func crossing(_ attempt: Attempt) -> [Finding] {
        guard attempt.paths.count == 2 else { return [] }
        let access = RequestedAccess(.create, place: .entry, followsLink: false)
        let facts = attempt.paths.compactMap { self.facts($0, access, attempt) }
        guard facts.count == 2, facts.allSatisfy(\.isDirectoryVisible) else { return [] }
        let (first, second) = (facts[0].directoryRule.pathComponents, facts[1].directoryRule.pathComponents)
        var count = 0
        while count < min(first.count, second.count), first[count] == second[count] { count += 1 }
        let path = "/" + first.prefix(count).joined(separator: "/")
        // In one directory, the rules are no cause of EXDEV. On two file systems, it would fail on the host too.
        guard facts[0].directoryRule != facts[1].directoryRule, facts[0].device == facts[1].device else { return [] }
        let requested = attempt.paths[0] + " -> " + attempt.paths[1]
        let reason = "from one rule to another, each of which is a mount (EXDEV)"
        return [
            count > 1
                ? Finding(
                    .rule, path, modes: [.read, .write, .create], isDirectory: true, reason, requestedPath: requested)
                : Finding(.none, attempt.name + " across rules", reason, requestedPath: requested)
        ]
    }
}
