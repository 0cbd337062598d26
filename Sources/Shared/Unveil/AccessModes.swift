/// What a task may do below an unveiled path: the letters before the colon of an unveil rule.
public struct AccessModes: OptionSet, Sendable {
    /// r = 1, w = 2, x = 4, c = 8, as in the launch request.
    public let rawValue: UInt8

    /// The modes of a number.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `r`: read files, list directories.
    public static let read = AccessModes(rawValue: 1 << 0)
    /// `w`: write and truncate files that exist, and connect to unix sockets.
    public static let write = AccessModes(rawValue: 1 << 1)
    /// `x`: execute files. The kernel opens a program for reading too, so that it takes `rx` to run one.
    public static let execute = AccessModes(rawValue: 1 << 2)
    /// `c`: create, remove, rename and link files and directories. Device nodes are never included.
    public static let create = AccessModes(rawValue: 1 << 3)

    /// `rwxc`: what a task has in directories of its own.
    public static let all: AccessModes = [.read, .write, .execute, .create]

    /// The mode of one letter of a rule; nil unless the letter is r, w, x or c.
    public init?(letter: Unicode.Scalar) {
        switch letter {
        case "r": self = .read
        case "w": self = .write
        case "x": self = .execute
        case "c": self = .create
        default: return nil
        }
    }

    /// The letters of these modes in the order `rwxc`.
    public var letters: String {
        var text = ""
        if contains(.read) { text += "r" }
        if contains(.write) { text += "w" }
        if contains(.execute) { text += "x" }
        if contains(.create) { text += "c" }
        return text
    }
}
