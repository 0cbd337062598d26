import Glibc
import Testing

@testable import Shared

@Suite struct SignalNameTests {
    /// Of signal(7), with its other names.
    private static let names: [(String, Int32)] = [
        ("HUP", 1), ("INT", 2), ("QUIT", 3), ("ILL", 4), ("TRAP", 5), ("ABRT", 6), ("IOT", 6), ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9), ("USR1", 10), ("SEGV", 11), ("USR2", 12), ("PIPE", 13), ("ALRM", 14), ("TERM", 15),
        ("STKFLT", 16), ("CHLD", 17), ("CLD", 17), ("CONT", 18), ("STOP", 19), ("TSTP", 20), ("TTIN", 21),
        ("TTOU", 22), ("URG", 23), ("XCPU", 24), ("XFSZ", 25), ("VTALRM", 26), ("PROF", 27), ("WINCH", 28),
        ("IO", 29), ("POLL", 29), ("PWR", 30), ("SYS", 31),
    ]

    @Test(arguments: names)
    func everyNameInEveryForm(name: String, number: Int32) {
        for form in [
            name, name.lowercased(), name.capitalized(), "SIG" + name, "sig" + name.lowercased(),
            "Sig" + name,
        ] {
            #expect(SignalName.number(of: form) == number, "\(form)")
        }
    }

    @Test func everyStandardSignalHasAName() {
        #expect(Set(Self.names.map(\.1)) == Set(1...31))
    }

    @Test(arguments: 1...64)
    func everyNumber(number: Int32) {
        #expect(SignalName.number(of: String(number)) == number)
    }

    @Test func realtimeSignalsAreCountedFromBothEnds() {
        let minimum = __libc_current_sigrtmin()
        let maximum = __libc_current_sigrtmax()
        for prefix in ["", "SIG", "sig"] {
            #expect(SignalName.number(of: prefix + "RTMIN") == minimum)
            #expect(SignalName.number(of: prefix + "RTMAX") == maximum)
            for offset in 0...(maximum - minimum) {
                #expect(SignalName.number(of: prefix + "RTMIN+\(offset)") == minimum + offset)
                #expect(SignalName.number(of: prefix + "rtmax-\(offset)") == maximum - offset)
            }
        }
        #expect(SignalName.number(of: "RTMIN+\(maximum - minimum + 1)") == nil)
        #expect(SignalName.number(of: "RTMAX-\(maximum - minimum + 1)") == nil)
    }

    @Test(arguments: [
        "", " ", "SIG", "sig", "SIGSIGTERM", "TERM ", " TERM", "TERM\n", "TERM\0", "TER", "TERMS", "SIG-TERM",
        "SIG 15",
        "SIG15", "0", "-1", "+1", "65", "99", "100", "999", "1000", "4294967305", "1.0", "0x9", "９",
        "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMAX-", "RTMIN+-1", "RTMIN+1000", "RTMIN++1", "RTMIN1", "RTMIN 1",
        "RTMI",
        "ＴＥＲＭ", "TÉRM", "\u{17F}IGTERM", "SIGNULL", "EXIT", "LOST", "null",
    ])
    func whateverElseIsNoSignal(text: String) {
        #expect(SignalName.number(of: text) == nil)
    }
}

extension String {
    fileprivate func capitalized() -> String { prefix(1) + dropFirst().lowercased() }
}
