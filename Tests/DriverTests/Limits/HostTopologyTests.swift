import Glibc
import Testing

@testable import HCLog
@testable import Host
@testable import Planning

@Suite struct HostTopologyTests {
    @Test(arguments: [
        ("0-3,6\n", [0, 1, 2, 3, 6]), ("0\n", [0]), ("", []), ("\n", []), ("3-1", []), ("a,1-b,-2,2", [2]),
        ("0-999999999999", []), ("1-2-3", []),
    ])
    func listsOfCoresAreRead(list: String, numbers: [Int]) {
        #expect(ClientTopology.coreNumbers(list) == numbers)
    }

    @Test func speedsAreReadFromCpuinfo() {
        let text = """
            processor\t: 0
            model name\t: Some CPU @ 2.00GHz: fast
            cpu MHz\t\t: 2000.174

            processor\t: 3
            cpu MHz\t\t: 3100.000
            processor\t: 4
            cpu MHz\t\t: unknown
            """
        #expect(ClientTopology.processorSpeeds(inCpuinfo: text) == [0: 2000, 3: 3100])
        #expect(ClientTopology.processorSpeeds(inCpuinfo: "") == [:])
    }

    @Test func thisHostHasItsCores() {
        #expect(ClientTopology.ofThisHost().cores.count == sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }
}
