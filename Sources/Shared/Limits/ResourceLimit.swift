/// A limit of setrlimit(2) for the task's processes.
public struct ResourceLimit: Equatable, Sendable {
    /// RLIMIT_*: the numbers of x86_64 and arm64 (uapi asm-generic/resource.h).
    public enum Kind: UInt32, CaseIterable, Sendable {
        case cpu = 0
        case fsize = 1
        case data = 2
        case stack = 3
        case core = 4
        case rss = 5
        case nproc = 6
        case nofile = 7
        case memlock = 8
        case `as` = 9
        case locks = 10
        case sigpending = 11
        case msgqueue = 12
        case nice = 13
        case rtprio = 14
        case rttime = 15

        /// As limits.conf(5) and most tools spell it.
        public var name: String {
            switch self {
            case .cpu: "cpu"
            case .fsize: "fsize"
            case .data: "data"
            case .stack: "stack"
            case .core: "core"
            case .rss: "rss"
            case .nproc: "nproc"
            case .nofile: "nofile"
            case .memlock: "memlock"
            case .as: "as"
            case .locks: "locks"
            case .sigpending: "sigpending"
            case .msgqueue: "msgqueue"
            case .nice: "nice"
            case .rtprio: "rtprio"
            case .rttime: "rttime"
            }
        }
    }

    /// The kernel's number for "no limit" (RLIM64_INFINITY).
    public static let unlimited = UInt64.max

    /// Which limit.
    public let kind: Kind
    /// In the kernel's unit: bytes, seconds, microseconds or a count.
    public let soft: UInt64
    /// What the task may raise its soft limit to.
    public let hard: UInt64

    /// Soft must not be above hard: the kernel refuses that.
    public init(_ kind: Kind, soft: UInt64, hard: UInt64) {
        self.kind = kind
        self.soft = soft
        self.hard = hard
    }

    /// A value as a job writes it.
    public static func text(_ value: UInt64) -> String { value == unlimited ? "unlimited" : String(value) }
}
