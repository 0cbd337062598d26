import Shared

@testable import Commands
@testable import EventLoop
@testable import Exec
@testable import Host
@testable import NomadPlugin
@testable import Planning
@testable import Supervision

/// Files of the kernel's and of the host's.
extension FuzzTarget {
    static func kernelFiles(_ bytes: UnsafeRawBufferPointer) {
        _ = flatKeyedValue("oom_kill", in: bytes)
        _ = flatKeyedValue("populated", in: bytes)
        _ = processStartTime(inStat: bytes)
        _ = ProcessUsage(stat: bytes)
        var usage = CgroupUsage()
        usage.readCPU(bytes)
        usage.readMemory(bytes)
        _ = CgroupHierarchy.mountPoint(inMountinfo: Array(bytes))
        _ = CgroupHierarchy.controllers(in: Array(bytes))
        let text = String(decoding: bytes, as: UTF8.self)
        _ = ClientTopology.coreNumbers(text)
        _ = ClientTopology.processorSpeeds(inCpuinfo: text)
        _ = ProcessFacts.isZombie(in: Array(bytes))
        _ = ProcessPlace(status: text)
        precondition(SocketPeer.numbers(inFacts: Array(bytes)).allSatisfy { $0 > 0 })
        _ = DescriptorFacts(fdinfo: text)
        _ = LockHolders(text)
        _ = KernelVersion(release: text)
        _ = singleNumber(in: bytes)
        var index = 0
        while decimalNumber(in: bytes, at: &index) != nil, index < bytes.count { index += 1 }
        precondition(index <= bytes.count)
    }

    /// A record of the audit log, whose paths and names a task chooses: what is told of it is one line.
    static func auditRecord(_ bytes: [UInt8]) {
        _ = LandlockRecord(.domain, text: bytes)
        guard case .access(_, let denial)? = LandlockRecord(.access, text: bytes) else { return }
        precondition(denial.message.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F })
        precondition(!denial.key.isEmpty)
    }

    /// The host's resolv.conf, and a job's words for one: what they make is read as what it says.
    static func resolver(_ bytes: UnsafeRawBufferPointer) {
        let text = Self.text(bytes)
        let host = ResolverConfiguration(parsing: text)
        _ = host.withoutLoopbackServers
        let words = bytes.split(separator: 0).map(Self.text)
        let request = DNSRequest(
            servers: words.filter(ResolverConfiguration.isAddress), searches: Array(words.prefix(2)),
            options: Array(words.dropFirst(2)))
        guard let made = try? ResolverConfiguration(request, host: host) else { return }
        // A word with a comment's sign is read by the C library and not by this.
        guard !words.contains(where: { $0.utf8.contains(UInt8(ascii: "#")) || $0.utf8.contains(UInt8(ascii: ";")) })
        else { return }
        let read = ResolverConfiguration(parsing: made.text)
        precondition(read.searches == made.searches && read.options == made.options)
        precondition(read.servers == made.servers)
    }
}
