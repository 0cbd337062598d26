/// Names in the state directory of a task.
public enum StateFile {
    /// FIFO, Driver → Executor.
    public static let control = "control"
    /// FIFO, Executor → Driver.
    public static let events = "events"
    /// Locked by the Driver that holds the session.
    public static let lock = "lock"
    /// Who the task is and which Executor has it, written by that before the task starts.
    public static let identity = "executor"
    /// Present once a host has shown that it knows the task.
    public static let claimed = "claimed"
    /// The exit record, present once the task has ended.
    public static let exit = "exit"
    /// The exit record's reserved space, until it is written and renamed.
    public static let reserved = "exit.reserved"

    /// Everything that an Executor or a Driver puts into a task's directory, in the order of its removal:
    /// as long as anything is left that matters, the directory tells whose it is.
    public static let all = [control, events, lock, claimed, reserved, exit, identity]
}

/// Why a task id cannot be used.
public enum TaskIDError: Error, Equatable, Sendable {
    case empty
    case badComponent
    case tooLong(bytes: Int)

    /// The reason as a sentence's end.
    public var text: String {
        switch self {
        case .empty: "the task id is empty"
        case .badComponent: "the task id has an empty part, \".\" or \"..\" between its slashes"
        case .tooLong(let bytes):
            "the task id makes a directory name of " + String(bytes)
                + " bytes; 255 is the most that a file system takes"
        }
    }
}

/// The name of a task's state directory: the task id with `/` written as `+`, and control characters,
/// `+` and `%` themselves as `%XX`. No two ids share a name, and none leaves the state directory.
public func stateDirectoryName(ofTask id: String) throws(TaskIDError) -> String {
    guard !id.isEmpty else { throw .empty }
    var name: [UInt8] = []
    var part: [UInt8] = []
    for byte in id.utf8 {
        if byte == UInt8(ascii: "/") {
            guard isUsable(part) else { throw .badComponent }
            part.removeAll()
            name.append(UInt8(ascii: "+"))
            continue
        }
        part.append(byte)
        if byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "%") {
            name.append(UInt8(ascii: "%"))
            name.append(hexDigit(byte >> 4))
            name.append(hexDigit(byte & 15))
        } else {
            name.append(byte)
        }
    }
    guard isUsable(part) else { throw .badComponent }
    guard name.count <= 255 else { throw .tooLong(bytes: name.count) }
    return String(decoding: name, as: UTF8.self)
}

private func isUsable(_ part: [UInt8]) -> Bool {
    let dot = UInt8(ascii: ".")
    switch part.count {
    case 0: return false
    case 1: return part[0] != dot
    case 2: return part[0] != dot || part[1] != dot
    default: return true
    }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
}
