import CLinux
import CMessages
import SharedEmbedded

/// The task's Landlock ruleset: everything is denied but what it names (landlock(7)).
struct Ruleset {
    let number: Int32
    private let abi: LandlockABI

    static func create(_ request: LaunchRequest.Message) throws(LaunchFailure) -> Ruleset {
        let answer = exec2_landlock_abi()
        guard let abi = LandlockABI(kernelVersion: Int(answer)) else {
            throw LaunchFailure(.ruleset, Errno(rawValue: -answer))
        }
        var network: LandlockNetworkRights = []
        if request.restrict_tcp_bind != 0 { network.insert(.bindTCP) }
        if request.restrict_tcp_connect != 0 { network.insert(.connectTCP) }
        let number = exec2_landlock_create(
            LandlockRights.handled(by: abi).rawValue, network.rawValue,
            request.scope_abstract_sockets != 0 ? abi.abstractSocketScope : 0)
        guard number >= 0 else { throw LaunchFailure(.ruleset, .last) }
        let ruleset = Ruleset(number: number, abi: abi)
        if network.contains(.bindTCP) { try ruleset.allow(.bindTCP, request.tcp_bind, request.n_tcp_bind) }
        if network.contains(.connectTCP) { try ruleset.allow(.connectTCP, request.tcp_connect, request.n_tcp_connect) }
        return ruleset
    }

    private func allow(
        _ right: LandlockNetworkRights, _ ports: UnsafeMutablePointer<UInt32>?, _ count: Int
    ) throws(LaunchFailure) {
        for port in UnsafeBufferPointer(start: ports, count: count) {
            let result = exec2_landlock_add_port(number, UInt16(truncatingIfNeeded: port), right.rawValue)
            guard result == 0 else { throw LaunchFailure(.networkRule, .last, String(port)) }
        }
    }

    /// Adds what `modes` grant on an open file or folder. False with errno set where the kernel refuses.
    func add(_ modes: UInt32, on kind: LandlockRights.PathKind, of descriptor: Int32) -> Bool {
        let rights = rights(modes, on: kind)
        return rights == 0 || exec2_landlock_add_path(number, descriptor, rights) == 0
    }

    func rights(_ modes: UInt32, on kind: LandlockRights.PathKind) -> UInt64 {
        LandlockRights.granted(by: AccessModes(rawValue: UInt8(truncatingIfNeeded: modes)), on: kind, abi: abi).rawValue
    }
}
