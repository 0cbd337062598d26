import CLinux
import EventLoop
import Planning
import Shared

/// The facts of the host for all who ask at the same time, gathered once, in the time that they can wait.
///
/// A path in the plugin's options may be on a file system that does not answer. The thread that looks at it then waits
/// in the kernel until it does: so there is one such thread for a configuration, however many streams ask, and they are
/// told which path it is.
package final class SharedHostFacts: Sendable {
    /// What is looked at answers within milliseconds, or else within this where its disk has to start first.
    package static let maximumNanoseconds: UInt64 = 10_000_000_000

    typealias Gather =
        @Sendable (_ configuration: PluginConfiguration, _ isSet: Bool, _ examining: HostFacts.Examining) -> HostFacts

    private final class Gathering: Sendable {
        /// Of the configuration that it is for.
        let version: Int
        let begunAt = exec2_monotonic()
        let facts = OneShot<HostFacts>()
        /// The path that it looks at, with the facts that it had by then; nil before it has begun.
        let examined = Mutex<(path: ExaminedPath, facts: HostFacts)?>(nil)

        init(version: Int) { self.version = version }
    }

    private let reactor: Reactor
    private let pool: BlockingPool
    private let nanoseconds: UInt64
    private let gather: Gather
    /// Those under way. They are of different configurations, the newest last.
    private let underWay = Mutex<[Gathering]>([])

    /// - Parameter clientDirectories: The client's, which no task reaches, as far as they are known by then.
    package convenience init(reactor: Reactor, clientDirectories: @escaping @Sendable () -> [String]) {
        self.init(reactor: reactor, pool: .shared, nanoseconds: Self.maximumNanoseconds) {
            HostFacts.gather($0, isSet: $1, clientDirectories: clientDirectories(), examining: $2)
        }
    }

    /// - Parameter gather: Another way to gather facts, for tests.
    init(reactor: Reactor, pool: BlockingPool, nanoseconds: UInt64, gather: @escaping Gather) {
        self.reactor = reactor
        self.pool = pool
        self.nanoseconds = nanoseconds
        self.gather = gather
    }

    /// The facts for a configuration; what is known of them and the path that does not answer, once the time is up; nil
    /// when the Swift task is cancelled first.
    /// - Parameter version: Grows with each configuration; 0: no client has set one.
    package func facts(for configuration: PluginConfiguration, version: Int) async -> HostFacts? {
        let gathering = gathering(for: configuration, version: version)
        let age = exec2_monotonic() - gathering.begunAt
        let rest = nanoseconds > age ? nanoseconds - age : 0
        if let facts = await gathering.facts.wait(atMost: rest, on: reactor) { return facts }
        return Task.isCancelled ? nil : partialFacts(of: gathering)
    }

    private func gathering(for configuration: PluginConfiguration, version: Int) -> Gathering {
        let (gathering, isNew) = underWay.withLock { underWay in
            if let newest = underWay.last, newest.version >= version { return (newest, false) }
            let gathering = Gathering(version: version)
            underWay.append(gathering)
            return (gathering, true)
        }
        guard isNew else { return gathering }
        pool.perform(in: .hostFacts) { [self] in
            let facts = gather(configuration, version > 0) { path, facts in
                gathering.examined.withLock { $0 = (path, facts) }
            }
            underWay.withLock { $0.removeAll { $0 === gathering } }
            gathering.facts.set(facts)
        }
        return gathering
    }

    /// What a gathering has found before the path that does not answer. One that has not begun waits for others.
    private func partialFacts(of gathering: Gathering) -> HostFacts {
        let seconds = nanoseconds / 1_000_000_000
        let others = underWay.withLock { $0 }
        guard let examined = ([gathering] + others).lazy.compactMap({ $0.examined.withLock { $0 } }).first else {
            var facts = HostFacts.ofKernel()
            facts.obstacles = [
                "the facts of this host have not been gathered within \(seconds) s: no thread could be started for that; "
                    + "see to it that the host has memory and processes left"
            ]
            return facts
        }
        var facts = examined.facts
        facts.unanswered = UnansweredPath(examined: examined.path, seconds: seconds)
        return facts
    }
}
