import Planning
import Shared

/// What `run` is told of capabilities, limits, ports and system calls.
extension RunOptions {
    static let confinementTable = [
        CommandOption(
            name: "cap-add", value: "NAME",
            help: "give the command a capability, such as net_bind_service, or all; may be given often"),
        CommandOption(
            name: "cap-drop", value: "NAME",
            help: "take from a command of root's a capability that it would have, or all; may be given often"),
        CommandOption(
            name: "pids-limit", value: "N",
            help: "how many processes and threads the command may have; 0: no limit"),
        CommandOption(
            name: "ulimit", value: "NAME=SOFT:HARD",
            help:
                "set a resource limit, as in nofile=1024:4096; one value is for both, unlimited is none; may be "
                + "given often"),
        CommandOption(
            name: "oom-group", help: "where memory is short, the kernel ends the whole command and not a part of it"),
        CommandOption(
            name: "tcp-bind", value: "PORTS",
            help: "the TCP ports that the command may bind, such as 80,443, or none; default: any"),
        CommandOption(
            name: "tcp-connect", value: "PORTS",
            help: "the TCP ports that the command may connect to; default: any"),
        CommandOption(
            name: "udp-bind", value: "PORTS",
            help: "the UDP ports that the command may bind (Linux 7.2); default: any"),
        CommandOption(
            name: "udp-connect", value: "PORTS",
            help: "the UDP ports that the command may connect and send to (Linux 7.2); default: any"),
        CommandOption(
            name: "abstract-sockets", help: "leave the host's abstract unix sockets open to the command"),
        CommandOption(
            name: "pathname-sockets", help: "let the command connect to unix sockets by path without a rule of mode w"),
        CommandOption(
            name: "log-denials", help: "log what the command is denied to the kernel's audit log (Linux 6.15)"),
        CommandOption(
            name: "syscalls", value: "GROUP",
            help: "open system calls that are closed to tasks, such as io_uring; may be given often"),
        CommandOption(name: "no-seccomp", help: "leave every system call open"),
    ]

    /// All that jobs may ask for.
    var policy: ConfinementPolicy {
        var policy = ConfinementPolicy()
        policy.allowCaps = .all
        policy.allowUlimits = Set(ResourceLimit.Kind.allCases)
        policy.allowSyscalls = Set(SyscallGroup.allCases)
        policy.seccomp = seccomp
        policy.abstractSockets = abstractSockets
        policy.pathnameSockets = pathnameSockets
        policy.logDenials = logDenials
        return policy
    }

    /// False if it is another option.
    mutating func takeConfinement(_ option: String, _ value: String) throws(UsageError) -> Bool {
        switch option {
        case "cap-add": try add(value, to: \.capAdd, option)
        case "cap-drop": try add(value, to: \.capDrop, option)
        case "pids-limit": confinement.pidsLimit = try number(option, value, ConfinementOptions.pidsLimits)
        case "ulimit": try addLimit(value)
        case "oom-group": confinement.oomGroup = true
        case "tcp-bind": confinement.tcpBind = (confinement.tcpBind ?? []) + (try ports(option, value))
        case "tcp-connect": confinement.tcpConnect = (confinement.tcpConnect ?? []) + (try ports(option, value))
        case "udp-bind": confinement.udpBind = (confinement.udpBind ?? []) + (try ports(option, value))
        case "udp-connect": confinement.udpConnect = (confinement.udpConnect ?? []) + (try ports(option, value))
        case "abstract-sockets": abstractSockets = true
        case "pathname-sockets": pathnameSockets = true
        case "log-denials": logDenials = true
        case "syscalls":
            guard let group = SyscallGroup(rawValue: value) else {
                throw UsageError("--syscalls \(quoted(value)): \(SyscallGroup.requirement)")
            }
            confinement.syscalls.append(group)
        case "no-seccomp": seccomp = false
        default: return false
        }
        return true
    }

    private mutating func add(
        _ name: String, to list: WritableKeyPath<ConfinementOptions, CapabilityList>, _ option: String
    ) throws(UsageError) {
        if !confinement[keyPath: list].add(name) {
            throw UsageError("--\(option) \(quoted(name)): \(CapabilityList.requirement)")
        }
    }

    private mutating func addLimit(_ assignment: String) throws(UsageError) {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw UsageError("--ulimit \(quoted(assignment)): must be NAME=SOFT:HARD") }
        do throws(ResourceLimitTextError) {
            let limit = try ResourceLimit(name: parts[0], value: parts[1])
            confinement.ulimits.removeAll { $0.kind == limit.kind }
            confinement.ulimits.append(limit)
        } catch {
            throw UsageError("--ulimit \(quoted(assignment)): \(error.reason)")
        }
    }

    private func ports(_ option: String, _ value: String) throws(UsageError) -> [UInt16] {
        if value == "none" { return [] }
        var ports: [UInt16] = []
        for part in value.split(separator: ",", omittingEmptySubsequences: false) {
            guard let port = UInt16(part) else {
                throw UsageError(
                    "--\(option) is \(quoted(value)): must be ports from 0 to 65535 with commas between, or none")
            }
            ports.append(port)
        }
        return ports
    }
}
