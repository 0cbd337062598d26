import CLinux

/// Signals by name and number, as operators write them.
public enum SignalName {
    private static let names: [(StaticString, Int32)] = [
        ("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT), ("ILL", SIGILL), ("TRAP", SIGTRAP),
        ("ABRT", SIGABRT), ("IOT", SIGABRT), ("BUS", SIGBUS), ("FPE", SIGFPE), ("KILL", SIGKILL),
        ("USR1", SIGUSR1), ("SEGV", SIGSEGV), ("USR2", SIGUSR2), ("PIPE", SIGPIPE), ("ALRM", SIGALRM),
        ("TERM", SIGTERM), ("STKFLT", 16), ("CHLD", SIGCHLD), ("CLD", SIGCHLD), ("CONT", SIGCONT),
        ("STOP", SIGSTOP), ("TSTP", SIGTSTP), ("TTIN", SIGTTIN), ("TTOU", SIGTTOU), ("URG", SIGURG),
        ("XCPU", SIGXCPU), ("XFSZ", SIGXFSZ), ("VTALRM", SIGVTALRM), ("PROF", SIGPROF),
        ("WINCH", SIGWINCH), ("IO", SIGIO), ("POLL", SIGIO), ("PWR", 30), ("SYS", SIGSYS),
    ]

    /// The number of a signal: a name with or without SIG, in any case; RTMIN, RTMIN+n, RTMAX, RTMAX-n;
    /// or a number from 1 to 64. Nil for anything else.
    public static func number(of text: String) -> Int32? {
        var name: [UInt8] = []
        for byte in text.utf8 {
            name.append(byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") ? byte - 32 : byte)
        }
        if let number = decimal(name[...]) { return number >= 1 && number <= 64 ? number : nil }
        var rest = name[...]
        if starts(rest, with: "SIG") { rest = rest.dropFirst(3) }
        for (known, number) in names where equal(rest, known) { return number }
        return realtime(rest)
    }

    private static func realtime(_ name: ArraySlice<UInt8>) -> Int32? {
        let minimum = exec2_signal_realtime_minimum()
        let maximum = exec2_signal_realtime_maximum()
        if equal(name, "RTMIN") { return minimum }
        if equal(name, "RTMAX") { return maximum }
        let offset = decimal(name.dropFirst(6))
        let number: Int32
        if starts(name, with: "RTMIN+"), let offset {
            number = minimum + offset
        } else if starts(name, with: "RTMAX-"), let offset {
            number = maximum - offset
        } else {
            return nil
        }
        return number >= minimum && number <= maximum ? number : nil
    }

    private static func decimal(_ digits: ArraySlice<UInt8>) -> Int32? {
        guard !digits.isEmpty, digits.count <= 3 else { return nil }
        var value: Int32 = 0
        for digit in digits {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            value = value * 10 + Int32(digit - UInt8(ascii: "0"))
        }
        return value
    }

    private static func starts(_ name: ArraySlice<UInt8>, with prefix: StaticString) -> Bool {
        name.count >= prefix.utf8CodeUnitCount && equal(name.prefix(prefix.utf8CodeUnitCount), prefix)
    }

    private static func equal(_ name: ArraySlice<UInt8>, _ known: StaticString) -> Bool {
        guard name.count == known.utf8CodeUnitCount else { return false }
        var index = 0
        for byte in name {
            guard byte == known.utf8Start[index] else { return false }
            index += 1
        }
        return true
    }
}
