import CLinux
import Glibc
import Planning
import Shared

/// Whether the sandbox has refused a call for another reason than its path, and the option that would allow it. No
/// effects.
enum CallDecision {
    /// - Parameter filter: The task's seccomp filter; empty if it has none, or if it is not known.
    static func finding(_ attempt: Attempt, filter: [UInt8]) -> Finding? {
        if let refused = refusedByFilter(attempt, filter) { return refused }
        guard let call = attempt.call else { return nil }
        switch call.kind {
        case .bind: return bound(attempt)
        case .connect, .sendTo, .sendMessage: return connected(attempt)
        case .socket where attempt.error == .notPermitted: return capability(.netRaw, attempt)
        case .privilege: return privilege(call, attempt)
        case .change where attempt.error == .notPermitted, .changeLink where attempt.error == .notPermitted,
            .descriptor where attempt.error == .notPermitted:
            return ownership(call, attempt)
        case .trace where attempt.error == .notPermitted:
            return Finding(
                .none, "ptrace", "a program that is being traced cannot be traced by another one as well (EPERM)")
        default: return nil
        }
    }

    private static func refusedByFilter(_ attempt: Attempt, _ filter: [UInt8]) -> Finding? {
        guard
            let error = FilterAnswer.error(of: filter, to: attempt.number, attempt.arguments),
            error == attempt.error.rawValue
        else { return nil }
        let reason = "closed by the seccomp filter (" + errorName(attempt.error) + ")"
        guard let group = SyscallGroup.closing(attempt.number, attempt.arguments)?.group else {
            return Finding(.none, attempt.name, reason + ": it would lead past the rules for ports")
        }
        return Finding(.option, "syscalls", value: quoted(group.rawValue), reason)
    }

    private static func bound(_ attempt: Attempt) -> Finding? {
        guard attempt.error == .permissionDenied, case .port(let port)? = attempt.address else { return nil }
        // Below ip_unprivileged_port_start, which is 1024 unless the host has changed it.
        if port > 0 && port < 1024, let finding = capability(.netBindService, attempt) { return finding }
        return self.port(port, attempt, tcp: "tcp_bind", udp: "udp_bind")
    }

    private static func connected(_ attempt: Attempt) -> Finding? {
        switch attempt.address {
        case .port(let port)? where attempt.error == .permissionDenied:
            return self.port(port, attempt, tcp: "tcp_connect", udp: "udp_connect")
        case .abstract(let name)? where attempt.error == .notPermitted:
            return Finding(
                .pluginOption, "abstract_sockets", "an abstract unix socket of the host's (EPERM)",
                requestedPath: "@" + ByteText.text(name))
        default: return nil
        }
    }

    private static func port(_ port: UInt16, _ attempt: Attempt, tcp: String, udp: String) -> Finding? {
        let option =
            switch attempt.socketType {
            case Int32(SOCK_STREAM.rawValue): tcp
            case Int32(SOCK_DGRAM.rawValue): udp
            default: ""
            }
        if option.isEmpty { return nil }
        return Finding(.option, option, value: String(port), "the list lacks port " + String(port) + " (EACCES)")
    }

    private static func capability(_ capability: Capability, _ attempt: Attempt) -> Finding? {
        if attempt.process.has(capability) { return nil }
        return Finding(
            .option, "cap_add", value: quoted(capability.name),
            "needs the capability " + capability.name + " (" + errorName(attempt.error) + ")")
    }

    private static func privilege(_ call: TracedCall, _ attempt: Attempt) -> Finding? {
        // setpriority(2) fails with EACCES, the others with EPERM.
        guard attempt.error == .notPermitted || attempt.error == .permissionDenied,
            let needed = call.needed
        else { return nil }
        if needed == .sysResource && !attempt.process.has(needed) {
            return Finding(
                .none, "resource limit",
                "the hard limit is lower (EPERM): the task option ulimit sets it, where allow_ulimits permits it")
        }
        return capability(needed, attempt)
    }

    /// A change of mode, owner or times of a file that the process does not own.
    private static func ownership(_ call: TracedCall, _ attempt: Attempt) -> Finding? {
        if attempt.process.uid != 0 { return nil }
        return call.name.description.contains("chown")
            ? capability(.chown, attempt) : capability(.fowner, attempt)
    }
}
