/// Where the one standby Executor is in its life, and what each event leads to. The caller spawns and kills.
struct StandbyState<Executor: ~Copyable>: ~Copyable {
    private enum Phase: ~Copyable {
        case none
        case making
        /// One is being made that is not wanted any more.
        case dismissed
        case ready(Executor)
        /// None is made any more.
        case closed
    }

    private var phase = Phase.none
    /// How many have been taken or dismissed, and have neither got their request nor ended yet. One that is dismissed while
    /// it is being made counts too.
    private(set) var leaving = 0

    init() {}

    /// Whether one is to be made: `made` or `failed` must follow.
    mutating func prepare() -> Bool {
        switch enter(.making) {
        case .none: return true
        case .making: break
        case .dismissed: phase = .dismissed
        case .ready(let executor): phase = .ready(executor)
        case .closed: phase = .closed
        }
        return false
    }

    /// One has been made. It is returned, to be ended, where it is not wanted any more.
    mutating func made(_ executor: consuming Executor) -> Executor? {
        switch enter(.none) {
        case .making:
            phase = .ready(executor)
            return nil
        case .dismissed: return executor
        case .closed:
            phase = .closed
            return executor
        // Only if the caller has not asked `prepare`.
        case .none: break
        case .ready(let standing): phase = .ready(standing)
        }
        leaving += 1
        return executor
    }

    /// None has been made.
    /// - Parameter isSpawned: Its process exists: `left` must follow.
    mutating func failed(isSpawned: Bool) {
        if isSpawned { leaving += 1 }
        switch enter(.none) {
        case .none: break
        case .making: break
        case .dismissed: leaving -= 1
        case .ready(let standing): phase = .ready(standing)
        case .closed:
            phase = .closed
            leaving -= 1
        }
    }

    /// Takes the one that stands by, to hand it a request, or because it has died: `left` must follow. Nil if none does,
    /// or if it is another than is meant.
    mutating func take(where isMeant: (borrowing Executor) -> Bool = { _ in true }) -> Executor? {
        switch enter(.none) {
        case .none: break
        case .making: phase = .making
        case .dismissed: phase = .dismissed
        case .ready(let executor):
            guard isMeant(executor) else {
                phase = .ready(executor)
                return nil
            }
            leaving += 1
            return executor
        case .closed: phase = .closed
        }
        return nil
    }

    /// The one that stands by, to be ended: `left` must follow. One that is being made is returned by `made`.
    mutating func dismiss() -> Executor? {
        switch enter(.none) {
        case .none: break
        case .making:
            phase = .dismissed
            leaving += 1
        case .dismissed: phase = .dismissed
        case .ready(let executor):
            leaving += 1
            return executor
        case .closed: phase = .closed
        }
        return nil
    }

    /// As `dismiss`, and none is made any more.
    mutating func close() -> Executor? {
        let executor = dismiss()
        phase = .closed
        return executor
    }

    /// One that was taken or dismissed has got its request, or has ended.
    mutating func left() { leaving -= 1 }

    /// Returns the phase until now.
    private mutating func enter(_ next: consuming Phase) -> Phase {
        var other = next
        swap(&phase, &other)
        return other
    }
}
