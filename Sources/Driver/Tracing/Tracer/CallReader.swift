import CLinux
import Glibc
import Planning
import Shared

/// A system call that a thread is in, with its arguments as they were when it began.
final class PendingCall {
    let call: TracedCall?
    let info: exec2_call
    /// As the program wrote them.
    var paths: [[UInt8]?] = []
    var flags: UInt64 = 0
    /// False for clone3(2) without new namespaces. The filter refuses that too, but the C library then uses clone(2).
    var makesNamespaces = true

    init(_ call: TracedCall?, _ info: exec2_call) {
        self.call = call
        self.info = info
    }

    var arguments: [UInt64] {
        withUnsafeBytes(of: info.arguments) { Array($0.bindMemory(to: UInt64.self)) }
    }

    func argument(_ index: Int8) -> UInt64 {
        withUnsafeBytes(of: info.arguments) { $0.load(fromByteOffset: 8 * Int(index), as: UInt64.self) }
    }
}

/// Makes an `Attempt` of each failed call of a thread that the sandbox may have refused.
struct CallReader {
    private let table = CallTable()
    /// Hashes of the attempts so far: the keys themselves contain paths that a task chooses, and would take too much
    /// memory. A task cannot choose paths with equal hashes, since the seed is random in each process.
    private var known: Set<Int> = []
    /// The number of attempts that were left out since too many are known.
    private(set) var leftOut = 0

    private static let maximumKnown = 50_000
    private static let clone3: UInt64 = 435
    /// CLONE_NEW* of uapi linux/sched.h.
    private static let newNamespaces: UInt64 = 0x7E02_0080

    /// The call that a thread is about to make. Paths are read from its memory now, since they may be changed during
    /// the call.
    func pending(_ info: exec2_call, _ thread: Int32) -> PendingCall? {
        guard info.architecture == SyscallArchitecture.native.auditToken else { return nil }
        let call = table[info.number]
        let pending = PendingCall(call, info)
        guard let call else {
            if info.number == Self.clone3 {
                pending.makesNamespaces = TraceeReader.number(thread, pending.argument(0)) & Self.newNamespaces != 0
            }
            return pending
        }
        if call.flags >= 0 { pending.flags = pending.argument(call.flags) }
        switch call.kind {
        case .bind, .connect, .sendTo, .sendMessage, .socket, .map, .control, .privilege, .trace, .descriptor: break
        case .openAt2:
            // struct open_how begins with the flags.
            pending.flags = TraceeReader.number(thread, pending.flags)
            pending.paths = [TraceeReader.text(thread, pending.argument(1))]
        default:
            pending.paths = [TraceeReader.text(thread, pending.argument(call.path))]
            if call.path2 >= 0 { pending.paths.append(TraceeReader.text(thread, pending.argument(call.path2))) }
        }
        return pending
    }

    /// The attempt that a failed call was; nil if the sandbox does not cause such an error, or if it is already known.
    mutating func attempt(_ pending: PendingCall, _ error: Errno, _ thread: Int32) -> Attempt? {
        guard pending.makesNamespaces, Self.mayBeDenial(error, pending.call?.kind) else { return nil }
        let (paths, address) = objects(of: pending, thread)
        if !pending.paths.isEmpty && paths.isEmpty { return nil }
        guard isNew(pending, error, paths, address) else { return nil }
        let process = TraceeReader.process(thread)
        return Attempt(
            call: pending.call, number: pending.info.number, arguments: pending.arguments, error: error,
            process: process, flags: pending.flags, paths: paths, address: address,
            socketType: address == nil ? -1 : TraceeReader.socketType(process.pid, pending.argument(0)))
    }

    private static func mayBeDenial(_ error: Errno, _ kind: TracedCall.Kind?) -> Bool {
        switch error.rawValue {
        case EACCES, EPERM, EROFS, ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP: true
        case ENOENT, ENOTDIR: kind != nil
        case EXDEV: kind == .rename || kind == .link
        default: false
        }
    }

    /// The absolute paths, or the address, that a call names.
    private func objects(of pending: PendingCall, _ thread: Int32) -> (paths: [String], SocketAddress?) {
        guard let call = pending.call else { return ([], nil) }
        func argument(_ index: Int8) -> Int32 {
            index < 0 ? -100 : Int32(truncatingIfNeeded: pending.argument(index))
        }
        switch call.kind {
        case .descriptor, .map, .control:
            return (TraceeReader.path(thread, descriptor: argument(call.directory)).map { [$0] } ?? [], nil)
        case .bind, .connect, .sendTo, .sendMessage:
            let size = call.flags >= 0 ? pending.argument(call.flags) : 0
            let address = TraceeReader.address(call.kind, thread, pending.argument(call.path), size: size)
            guard case .path(let path)? = address else { return ([], address) }
            return (TraceeReader.absolute(path, thread, directory: -100).map { [$0] } ?? [], address)
        case .socket, .privilege, .trace: return ([], nil)
        default: break
        }
        var paths: [String] = []
        for index in pending.paths.indices {
            let directory = argument(index == 0 ? call.directory : call.directory2)
            guard let path = pending.paths[index], let whole = TraceeReader.absolute(path, thread, directory: directory)
            else { return ([], nil) }
            paths.append(whole)
        }
        return (paths, nil)
    }

    /// Whether an attempt differs from all known ones: in its paths and flags, in the socket's address, or, for any
    /// other call, in the arguments that the filter checks.
    private mutating func isNew(
        _ pending: PendingCall, _ error: Errno, _ paths: [String], _ address: SocketAddress?
    ) -> Bool {
        var key = String(pending.info.number) + " " + String(error.rawValue) + " "
        if let address, paths.isEmpty {
            key += address.key
        } else if paths.isEmpty {
            if pending.call?.kind == .socket { key += String(pending.argument(0)) + " " + String(pending.argument(2)) }
        } else {
            key += String(pending.flags & 0xFFFF_FFFF)
            for path in paths { key += " " + path }
        }
        let hash = key.hashValue
        if known.contains(hash) { return false }
        guard known.count < Self.maximumKnown else {
            leftOut += 1
            return false
        }
        known.insert(hash)
        return true
    }
}
