import CLinux
import CMessages
import SharedEmbedded

/// The task's Landlock ruleset: everything is denied but what it names (landlock(7)).
struct Ruleset {
    let number: Int32
    private let abi: LandlockABI
    /// What it denies wherever no rule allows it; a rule may name nothing else.
    private let handled: LandlockRights
    private let logsDenials: Bool

    static func create(_ request: LaunchRequest.Message) throws(LaunchFailure) -> Ruleset {
        let answer = exec2_landlock_abi()
        guard let abi = LandlockABI(kernelVersion: Int(answer)) else {
            throw LaunchFailure(.ruleset, Errno(rawValue: -answer))
        }
        var network: LandlockNetworkRights = []
        if request.restrict_tcp_bind != 0 { network.insert(.bindTCP) }
        if request.restrict_tcp_connect != 0 { network.insert(.connectTCP) }
        if request.restrict_udp_bind != 0 { network.insert(.bindUDP) }
        if request.restrict_udp_connect != 0 { network.insert(.connectUDP) }
        let handled = LandlockRights.handled(by: abi, opensSockets: request.open_pathname_sockets != 0)
        let logsDenials = request.log_denials != 0
        var attributes = exec2_landlock_ruleset()
        attributes.handled_rights = handled.rawValue
        attributes.handled_network = network.rawValue
        attributes.scoped = request.scope_abstract_sockets != 0 ? abi.abstractSocketScope : 0
        if logsDenials && abi.hasQuietRules && request.n_quiet_paths > 0 { attributes.quiet_rights = handled.rawValue }
        let number = exec2_landlock_create(&attributes)
        guard number >= 0 else { throw LaunchFailure(.ruleset, .last) }
        let ruleset = Ruleset(number: number, abi: abi, handled: handled, logsDenials: logsDenials)
        if network.contains(.bindTCP) { try ruleset.allow(.bindTCP, request.tcp_bind, request.n_tcp_bind) }
        if network.contains(.connectTCP) { try ruleset.allow(.connectTCP, request.tcp_connect, request.n_tcp_connect) }
        if network.contains(.bindUDP) { try ruleset.allow(.bindUDP, request.udp_bind, request.n_udp_bind) }
        if network.contains(.connectUDP) { try ruleset.allow(.connectUDP, request.udp_connect, request.n_udp_connect) }
        return ruleset
    }

    /// Keeps it for commands in the task, which are held to the same (`TemplateDescriptor.ruleset`).
    func keep() throws(LaunchFailure) {
        guard exec2_replace_descriptor(number, TemplateDescriptor.ruleset) >= 0 else {
            throw LaunchFailure(.ruleset, nil)
        }
    }

    /// The flags with which it is enforced (landlock_restrict_self(2)).
    var enforcementFlags: UInt64 { logsDenials ? abi.logsNewProgramsFlag : 0 }

    /// Whether denials below some paths can be kept out of the log.
    var takesQuietPaths: Bool { logsDenials && abi.hasQuietRules }

    /// The ruleset that a task's Executor has kept, handed to the attendant of a command.
    static func ofTask(_ request: LaunchRequest.Message) throws(LaunchFailure) -> Ruleset {
        guard let abi = LandlockABI(kernelVersion: Int(exec2_landlock_abi())) else {
            throw LaunchFailure(.ruleset, .last)
        }
        return Ruleset(
            number: AttendantDescriptor.ruleset, abi: abi,
            handled: LandlockRights.handled(by: abi, opensSockets: request.open_pathname_sockets != 0),
            logsDenials: request.log_denials != 0)
    }

    private func allow(
        _ right: LandlockNetworkRights, _ ports: UnsafeMutablePointer<UInt32>?, _ count: Int
    ) throws(LaunchFailure) {
        for port in UnsafeBufferPointer(start: ports, count: count) {
            let result = exec2_landlock_add_port(number, UInt16(truncatingIfNeeded: port), right.rawValue)
            guard result == 0 else { throw LaunchFailure(.networkRule, .last, String(port)) }
        }
    }

    /// Adds what `modes` grant on an open file or directory. False with errno set where the kernel refuses.
    func add(_ modes: UInt32, on kind: LandlockRights.PathKind, of descriptor: Int32) -> Bool {
        let rights = rights(modes, on: kind)
        return rights == 0 || exec2_landlock_add_path(number, descriptor, rights) == 0
    }

    func rights(_ modes: UInt32, on kind: LandlockRights.PathKind) -> UInt64 {
        LandlockRights.granted(by: AccessModes(rawValue: UInt8(truncatingIfNeeded: modes)), on: kind, abi: abi)
            .intersection(handled).rawValue
    }
}
