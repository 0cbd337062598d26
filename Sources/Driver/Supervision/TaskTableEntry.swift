import EventLoop

extension TaskTable {
    /// What this Driver has under a task's id. One call at a time makes something of a task; other calls about it wait
    /// for that one, or are refused. How far a known task has come is its own state (`TaskState`).
    ///
    /// | entry                         | claimed   | ending | settled      | given up  | removed   |
    /// |-------------------------------|-----------|--------|--------------|-----------|-----------|
    /// | none                          | → claimed | –      | –            | –         | –         |
    /// | starting, recovering, ending  | –         | –      | → known, own | → none, own | –       |
    /// | known                         | –         | → ending, own | –     | –         | → none, own |
    ///
    /// –: refused, and the entry stays. Own: refused where the entry is not the caller's, since another call may have
    /// made something else of the same id meanwhile: the `Transition` counts, or the very task.
    enum Entry {
        case starting(Transition)
        case recovering(Transition)
        case ending(Transition)
        case known(SupervisedTask)

        /// The transition that is under way.
        var transition: Transition? {
            switch self {
            case .starting(let transition), .recovering(let transition), .ending(let transition): transition
            case .known: nil
            }
        }

        /// The task's; "": none.
        var cgroup: String {
            switch self {
            case .starting(let transition), .recovering(let transition), .ending(let transition): transition.cgroup
            case .known(let task): task.cgroup
            }
        }
    }

    /// What happens to an entry.
    enum EntryEvent {
        /// A call starts, recovers or ends a task that is not known.
        case claimed(Claim, Transition)
        /// A call ends a known task, for want of a host that has a handle of it.
        case ending(SupervisedTask, Transition)
        /// The task is known from now on, or still.
        case settled(Transition, SupervisedTask)
        /// There is no such task, or not any more.
        case givenUp(Transition)
        /// A known task was destroyed.
        case removed(SupervisedTask)
    }

    enum Claim: CaseIterable {
        case start, recover, end
    }

    /// What one call is just making of a task, and others wait for.
    final class Transition: Sendable {
        /// The task's.
        let cgroup: String
        let done = OneShot<Void>()

        init(cgroup: String) { self.cgroup = cgroup }
    }
}

/// The entries of all tasks, by their ids and by their cgroups: a start asks who is in its cgroup, and must not look at
/// every task for that.
struct TaskEntries {
    private(set) var byID: [String: TaskTable.Entry] = [:]
    private var idsByCgroup: [String: [String]] = [:]

    subscript(id: String) -> TaskTable.Entry? {
        get { byID[id] }
        set { replace(id, by: newValue) }
    }

    /// Those in a cgroup; none where that is "".
    func entries(in cgroup: String) -> [TaskTable.Entry] { (idsByCgroup[cgroup] ?? []).compactMap { byID[$0] } }

    /// Takes an event of a task's entry; false where the entry refuses it.
    mutating func take(_ id: String, _ event: TaskTable.EntryEvent) -> Bool {
        let entry = byID[id]
        switch event {
        case .claimed(let claim, let transition):
            guard entry == nil else { return false }
            self[id] =
                switch claim {
                case .start: .starting(transition)
                case .recover: .recovering(transition)
                case .end: .ending(transition)
                }
        case .ending(let task, let transition):
            guard case .known(let known)? = entry, known === task else { return false }
            self[id] = .ending(transition)
        case .settled(let transition, let task):
            guard let own = entry?.transition, own === transition else { return false }
            self[id] = .known(task)
        case .givenUp(let transition):
            guard let own = entry?.transition, own === transition else { return false }
            self[id] = nil
        case .removed(let task):
            guard case .known(let known)? = entry, known === task else { return false }
            self[id] = nil
        }
        return true
    }

    private mutating func replace(_ id: String, by other: TaskTable.Entry?) {
        let cgroup = byID[id]?.cgroup ?? ""
        if let other {
            byID[id] = other
        } else {
            _ = byID.removeAndShrink(id)
        }
        let next = other?.cgroup ?? ""
        guard cgroup != next else { return }
        if !cgroup.isEmpty {
            let others = (idsByCgroup[cgroup] ?? []).filter { $0 != id }
            if others.isEmpty {
                _ = idsByCgroup.removeAndShrink(cgroup)
            } else {
                idsByCgroup[cgroup] = others
            }
        }
        if !next.isEmpty { idsByCgroup[next, default: []].append(id) }
    }
}
