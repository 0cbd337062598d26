import CLinux
import EventLoop
import Glibc
import Planning
import Shared

/// Finds out what failed attempts mean, one after the other and apart from the tracer: a look at the host's files may take
/// any time, and no thread of the task's waits for it.
package final class TraceAnalysis: Sendable {
    private struct State {
        /// Nil: has been looked at.
        var queue: [Attempt?] = []
        /// The first of the queue that nobody has looked at.
        var first = 0
        /// Of the paths in the queue, and of what was found.
        var waitingBytes = 0
        var foundBytes = 0
        /// Attempts and findings for which there was no room.
        var leftOut = 0
        /// A thread of the pool is at it.
        var isBusy = false
        /// What it looks at.
        var subject = ""
        var findings: [Finding] = []
        var titles: Set<String> = []
        /// How many of them an earlier try has told.
        var earlier = 0
        /// Root has asked for the host's accounts.
        var rootWantsAccounts = false
    }

    private let state = Mutex(State())
    private let walk = Mutex<HostWalk?>(nil)
    private let filter: @Sendable () -> [UInt8]
    private let knownFilter = OneShot<[UInt8]>()
    private let output: @Sendable (String) -> Void

    /// - Parameters:
    ///   - filter: The task's seccomp filter; called once at most, on a thread that may wait.
    ///   - output: Takes one line at a time, on a thread that may wait.
    ///   - earlier: The analysis of a try before this one: what it has found is not told again, and counts.
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

    /// What was refused and no earlier try has told, in the order in which it was found out.
    var findings: [Finding] { state.withLock { Array($0.findings.dropFirst($0.earlier)) } }

    /// An earlier try has found something.
    var isAfterOthers: Bool { state.withLock { $0.earlier > 0 } }

    /// What would have helped this try and those before.
    var suggestion: Suggestion {
        state.withLock { Suggestion($0.findings, rootWantsAccounts: $0.rootWantsAccounts) }
    }

    /// The task's root directory, once a thread of the task is in it.
    func take(root: consuming OwnedDescriptor, namespace: consuming OwnedDescriptor) {
        // Without a copy: what is captured by a closure cannot be consumed.
        let (number, other) = (exec2_duplicate(root.number, 16), exec2_duplicate(namespace.number, 16))
        guard number >= 0, other >= 0 else { return }
        walk.withLock {
            $0 = HostWalk(root: OwnedDescriptor(owning: number), namespace: OwnedDescriptor(owning: other))
        }
    }

    /// Says something that is no denial.
    package func say(_ line: String) {
        BlockingPool.shared.perform { [self] in output(line) }
    }

    /// What there was no room for: a task chooses how many paths it tries, and how long they are.
    var leftOut: Int { state.withLock { $0.leftOut } }

    /// Of each list.
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

    /// Waits until everything is found out, and not for ever; what it then still looks at, or nil.
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
            for finding in findings(of: next) { tell(finding, next) }
        }
    }

    private func tell(_ finding: Finding, _ attempt: Attempt) {
        let isNew = state.withLock { state in
            if finding.isOfAccounts && attempt.process.uid == 0 { state.rootWantsAccounts = true }
            guard !state.titles.contains(finding.title) else { return false }
            guard state.foundBytes < Self.maximumBytes else {
                state.leftOut += 1
                return false
            }
            state.titles.insert(finding.title)
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
        if let finding = CallDecision.finding(attempt, filter: mayBeClosed(attempt) ? filterBytes : []) {
            return [finding]
        }
        guard let call = attempt.call else { return [] }
        if attempt.error == .crossDeviceLink { return crossing(attempt) }
        return attempt.paths.indices.compactMap { finding(call, attempt.paths[$0], isSecond: $0 == 1, attempt) }
    }

    private func mayBeClosed(_ attempt: Attempt) -> Bool {
        attempt.paths.isEmpty && attempt.error != .permissionDenied
            || attempt.address != nil && attempt.error.rawValue == EOPNOTSUPP
    }

    private func finding(_ call: TracedCall, _ path: String, isSecond: Bool, _ attempt: Attempt) -> Finding? {
        guard var wish = Wish(call.kind, flags: attempt.flags) else { return nil }
        switch call.kind {
        case .map where attempt.error != .notPermitted || attempt.flags & UInt64(PROT_EXEC) == 0: return nil
        case .control where attempt.error != .permissionDenied || !path.hasPrefix("/dev/"): return nil
        case .link where !isSecond: wish = Wish(.read, permission: [], followsLink: false)
        case .rename where !isSecond, .remove:
            // What does not exist on the host either is missing to everybody.
            let exists = facts(path, wish, attempt)?.object != nil
            if !exists { return nil }
        default: break
        }
        guard let facts = facts(path, wish, attempt) else { return nil }
        let error = call.kind == .map ? Errno.permissionDenied : attempt.error
        if call.kind == .execute, error == .noSuchFile, facts.isObjectShown {
            return interpreter(of: facts.rule, asked: path, attempt)
        }
        return PathDecision.finding(wish, error, facts, attempt.process)?.asked(for: path)
    }

    private func facts(_ path: String, _ wish: Wish, _ attempt: Attempt) -> PathFacts? {
        walk.withLock { walk -> PathFacts? in
            switch walk {
            case .some(let walk): walk.facts(of: path, followsLink: wish.followsLink, attempt.process)
            case .none: nil
            }
        }
    }

    /// A program that the task has and that could not be run for want of what runs it.
    /// - Parameter path: Of the program itself, and not of a symlink to it.
    private func interpreter(of path: String, asked: String, _ attempt: Attempt) -> Finding? {
        let found = walk.withLock { walk -> String? in
            switch walk {
            case .some(let walk): walk.interpreter(of: path)
            case .none: nil
            }
        }
        let wish = Wish([.read, .execute], permission: .execute)
        guard let found, let facts = facts(found, wish, attempt) else { return nil }
        return PathDecision.finding(wish, .noSuchFile, facts, attempt.process)?.asked(for: asked)
    }

    /// A rename or a link between two rules, each of which is a mount.
    private func crossing(_ attempt: Attempt) -> [Finding] {
        guard attempt.paths.count == 2 else { return [] }
        let wish = Wish(.create, place: .entry, followsLink: false)
        let facts = attempt.paths.compactMap { self.facts($0, wish, attempt) }
        guard facts.count == 2, facts.allSatisfy(\.isDirectoryShown) else { return [] }
        let (first, second) = (facts[0].directoryRule.pathComponents, facts[1].directoryRule.pathComponents)
        var count = 0
        while count < min(first.count, second.count), first[count] == second[count] { count += 1 }
        let path = "/" + first.prefix(count).joined(separator: "/")
        // Where the directory is one, or the host has two file systems, it would fail there too.
        guard facts[0].directoryRule != facts[1].directoryRule, facts[0].device == facts[1].device else { return [] }
        let asked = attempt.paths[0] + " -> " + attempt.paths[1]
        let reason = "from one rule to another, each of which is a mount (EXDEV)"
        return [
            count > 1
                ? Finding(.rule, path, modes: [.read, .write, .create], isDirectory: true, reason, asked: asked)
                : Finding(.none, attempt.name + " across rules", reason, asked: asked)
        ]
    }
}
