import CLinux
import CMessages
import SharedEmbedded

/// The task's Landlock ruleset: everything is denied but what it names (landlock(7)).
struct Ruleset {
    let number: Int32
    private let abi: LandlockABI

    static func create(scopeAbstractSockets: Bool) throws(LaunchFailure) -> Ruleset {
        let answer = exec2_landlock_abi()
        guard let abi = LandlockABI(kernelVersion: Int(answer)) else {
            throw LaunchFailure(.ruleset, Errno(rawValue: -answer))
        }
        let number = exec2_landlock_create(
            LandlockRights.handled(by: abi).rawValue, scopeAbstractSockets ? abi.abstractSocketScope : 0)
        guard number >= 0 else { throw LaunchFailure(.ruleset, .last) }
        return Ruleset(number: number, abi: abi)
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
