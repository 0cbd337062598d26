import EventLoop
import Planning

/// The cores of this host, for when no client describes them: a task run by hand, or a host that sends no topology.
extension ClientTopology {
    /// Every online core with the speeds that the kernel tells; a virtual machine often has a guess only, and
    /// arm64 may have none.
    package static func ofThisHost() -> ClientTopology {
        let directory = "/sys/devices/system/cpu"
        let online = (try? HostFile.read(directory + "/online")).map(text) ?? ""
        let guesses = processorSpeeds(inCpuinfo: (try? HostFile.read("/proc/cpuinfo")).map(text) ?? "")
        return ClientTopology(
            cores: coreNumbers(online).map { number in
                Core(
                    baseSpeed: megahertz("\(directory)/cpu\(number)/cpufreq/base_frequency"),
                    maxSpeed: megahertz("\(directory)/cpu\(number)/cpufreq/cpuinfo_max_freq"),
                    guessSpeed: guesses[number] ?? 0)
            })
    }

    /// The numbers in a list of the kernel's such as `0-3,6`. Anything else in it is ignored.
    static func coreNumbers(_ list: String) -> [Int] {
        // More cores than the kernel can have (NR_CPUS) are a mistake of the list.
        let most = 8192
        return list.split { $0 == "," || $0.isWhitespace }.flatMap { part -> [Int] in
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2,
                0 <= first, first <= last, last < most
            else { return [] }
            return Array(first...last)
        }
    }

    /// MHz by the number of the core, from the text of /proc/cpuinfo on x86; empty elsewhere.
    static func processorSpeeds(inCpuinfo text: String) -> [Int: UInt64] {
        var speeds: [Int: UInt64] = [:]
        var number: Int?
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let key = parts[0].prefix { $0 != "\t" }
            let value = parts[1].drop { $0 == " " }
            if key == "processor" { number = Int(value) }
            if key == "cpu MHz", let number, let speed = Double(value), speed >= 1, speed < 1_000_000 {
                speeds[number] = UInt64(speed)
            }
        }
        return speeds
    }

    /// The kernel's files have kHz; 0 where there is no such file.
    private static func megahertz(_ path: String) -> UInt64 {
        guard let bytes = try? HostFile.read(path) else { return 0 }
        return (UInt64(text(bytes).prefix { $0.isASCII && $0.isNumber }) ?? 0) / 1000
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
