import Shared

/// What a job asks its task's root to have.
package struct RootOptions: Equatable, Sendable {
    /// Whether `/tmp` is the task's own `tmp` directory.
    package var privateTmp = false
    /// Whether the task has its own `/etc/passwd` and `/etc/group`, with its user in them.
    package var userFiles = false
    /// How many bytes `/dev/shm` may have; nil where the job says nothing.
    package var sharedMemoryBytes: UInt64?

    package init() {}

    init(_ options: OptionReader) throws(ConfigurationError) {
        privateTmp = try options.bool("private_tmp") ?? false
        userFiles = try options.bool("user_files") ?? false
        guard let text = try options.text("shm_size", requirement: Self.sizeRequirement) else { return }
        guard let bytes = Self.sharedMemoryBytes(text) else {
            throw options.invalid("shm_size", quoted(text), Self.sizeRequirement)
        }
        sharedMemoryBytes = bytes
    }

    static let schema = [
        OptionSchema("private_tmp", "bool"),
        OptionSchema("user_files", "bool"),
        // The agent makes text of a number: a job of the docker driver has a number of bytes.
        OptionSchema("shm_size", "string"),
    ]

    // MARK: Size of /dev/shm

    /// What a size must be.
    package static let sizeRequirement =
        "must be a number of bytes, or a number and k, m or g (1024, 1024² or 1024³ bytes), from 1m to 16384g"

    /// The tmpfs has the mount points of the task's directories too, and is of no less.
    private static let sizes: ClosedRange<UInt64> = 1 << 20...1 << 44

    /// The number of bytes that `67108864`, `65536k`, `64m` or `64M` stands for; nil for anything else.
    package static func sharedMemoryBytes(_ text: String) -> UInt64? {
        var digits = Substring(text).utf8
        var shift = 0
        switch digits.last {
        case UInt8(ascii: "k"), UInt8(ascii: "K"): shift = 10
        case UInt8(ascii: "m"), UInt8(ascii: "M"): shift = 20
        case UInt8(ascii: "g"), UInt8(ascii: "G"): shift = 30
        default: break
        }
        if shift > 0 { digits = digits.dropLast() }
        // UInt64(_:) would take a sign.
        guard let first = digits.first, (0x30...0x39).contains(first), let number = UInt64(Substring(digits)) else {
            return nil
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << UInt64(shift))
        return !overflow && sizes.contains(bytes) ? bytes : nil
    }
}
