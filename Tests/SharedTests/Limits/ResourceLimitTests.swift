import Glibc
import Testing

@testable import Shared

@Suite struct ResourceLimitTests {
    @Test func theNumbersAreLibcs() {
        let libcs: [(ResourceLimit.Kind, __rlimit_resource)] = [
            (.cpu, RLIMIT_CPU), (.fsize, RLIMIT_FSIZE), (.data, RLIMIT_DATA), (.stack, RLIMIT_STACK),
            (.core, RLIMIT_CORE), (.rss, __RLIMIT_RSS), (.nproc, __RLIMIT_NPROC), (.nofile, RLIMIT_NOFILE),
            (.memlock, __RLIMIT_MEMLOCK), (.as, RLIMIT_AS), (.locks, __RLIMIT_LOCKS),
            (.sigpending, __RLIMIT_SIGPENDING), (.msgqueue, __RLIMIT_MSGQUEUE), (.nice, __RLIMIT_NICE),
            (.rtprio, __RLIMIT_RTPRIO), (.rttime, __RLIMIT_RTTIME),
        ]
        for (kind, libc) in libcs { #expect(kind.rawValue == UInt32(libc.rawValue), "\(kind)") }
        #expect(libcs.count == ResourceLimit.Kind.allCases.count)
        #expect(ResourceLimit.unlimited == UInt64(bitPattern: -1))
    }

    @Test func valuesReadAsJobsWriteThem() {
        #expect(ResourceLimit.text(0) == "0")
        #expect(ResourceLimit.text(.max) == "unlimited")
        #expect(ResourceLimit.Kind.allCases.map(\.name) == ResourceLimit.Kind.allCases.map { "\($0)" })
    }
}
