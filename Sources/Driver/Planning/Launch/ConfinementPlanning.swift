import Shared

/// From what the job asks for and the operator allows to what the task is held to.
extension LaunchPlanning {
    func confinement(_ options: ConfinementOptions, isRoot: Bool) throws(StartError) -> LaunchConfinement {
        let policy = configuration.confinement
        try checkLandlock(options)
        let capabilities: TaskCapabilities
        do throws(TaskCapabilityError) {
            capabilities = try TaskCapabilities(
                isRoot: isRoot, adding: options.capAdd, dropping: options.capDrop, allowed: policy.allowCaps,
                available: host.capabilities)
        } catch {
            throw StartError(.permanent, error.description)
        }
        try checkUlimits(options)
        try checkSyscalls(options)

        var result = LaunchConfinement()
        result.capabilities = capabilities.bounding
        result.ambientCapabilities = capabilities.ambient
        result.resourceLimits = options.ulimits + (isRoot ? host.rootTaskLimits(besides: options.ulimits) : [])
        result.scopesAbstractSockets = !policy.abstractSockets
        result.tcpBind = options.tcpBind
        result.tcpConnect = options.tcpConnect
        result.udpBind = options.udpPortsToBind
        result.udpConnect = options.udpConnect
        result.opensPathnameSockets = policy.pathnameSockets
        // Events are made of what is logged.
        result.logsDenials = policy.logDenials || policy.denialEvents
        result.quietPaths = policy.quietPaths
        result.seccompFilter =
            TaskSyscalls(
                isFiltered: policy.seccomp, opened: Set(options.syscalls), capabilities: capabilities.bounding,
                restrictsTCPBind: options.tcpBind != nil, restrictsTCPConnect: options.tcpConnect != nil,
                restrictsUDP: result.restrictsUDP
            ).filter
        return result
    }

    func cgroupWrites(_ options: ConfinementOptions) -> [CgroupWrite] {
        (options.pidsLimit == 0 ? [] : [CgroupWrite(file: "pids.max", value: "\(options.pidsLimit)")])
            + (options.oomGroup ? [CgroupWrite(file: "memory.oom.group", value: "1")] : [])
    }

    /// Rules that the kernel cannot keep are refused, never left out.
    private func checkLandlock(_ options: ConfinementOptions) throws(StartError) {
        let minimum = configuration.confinement.landlockMinABI
        // A kernel without Landlock is the Executor's to report, with the reason.
        if host.landlockABI == 0 && minimum == 1 { return }
        if host.landlockABI < minimum {
            throw StartError(.permanent, LandlockMinimum(found: host.landlockABI, minimum: minimum).text)
        }
        for (option, minimumABI) in options.portRules where host.landlockABI < minimumABI {
            throw StartError(
                .permanent,
                "cannot keep the task to the ports of \(option): that needs version \(minimumABI) of "
                    + "Landlock (Linux \(LandlockProtection.kernel(ofABI: minimumABI))), and this kernel has version "
                    + "\(host.landlockABI)")
        }
    }

    /// A limit that would give a task more than the agent's own tasks have by themselves needs the operator's leave.
    private func checkUlimits(_ options: ConfinementOptions) throws(StartError) {
        let policy = configuration.confinement
        for limit in options.ulimits {
            let requirement: String
            if limit.givesPriority {
                if policy.allowCaps.contains(.sysNice) { continue }
                requirement =
                    "rttime, rtprio above 0 and nice above 20 (a nice value below 0) give a task priority over the host's "
                    + "processes and need sys_nice in the plugin option allow_caps of this client; an operator can add "
                    + "it there"
            } else {
                let own = host.hardLimits[limit.kind] ?? ResourceLimit.unlimited
                if limit.hard <= own || policy.allowUlimits.contains(limit.kind) { continue }
                requirement =
                    "the hard limit is above the agent's own, \(ResourceLimit.text(own)); that needs \(limit.kind.name) "
                    + "in the plugin option allow_ulimits of this client, where an operator can add it"
            }
            throw StartError(
                .permanent,
                ConfigurationError(
                    scope: .task,
                    problem: .invalid(
                        option: "ulimit", item: nil, value: "\(quoted(limit.kind.name)) = \(quoted(limit.text))",
                        requirement: requirement)
                ).description)
        }
    }

    private func checkSyscalls(_ options: ConfinementOptions) throws(StartError) {
        let policy = configuration.confinement
        func refuse(_ group: SyscallGroup, _ requirement: String) -> StartError {
            StartError(
                .permanent,
                ConfigurationError(
                    scope: .task,
                    problem: .invalid(
                        option: "syscalls", item: nil, value: quoted(group.rawValue), requirement: requirement)
                ).description)
        }
        // Without the filter everything is open.
        for group in options.syscalls where policy.seccomp && !policy.allowSyscalls.contains(group) {
            throw refuse(
                group,
                "the plugin option allow_syscalls of this client does not allow it; an operator can add it there")
        }
        if options.syscalls.contains(.ioUring), let rule = options.portRules.first {
            let family = rule.option.prefix(3)
            throw refuse(
                .ioUring,
                "io_uring would lead past \(family)_bind and \(family)_connect; a task can have one or the other")
        }
    }
}

/// A kernel whose Landlock is older than the operator wants.
package struct LandlockMinimum: Equatable, Sendable {
    package let found: Int
    package let minimum: Int

    package init(found: Int, minimum: Int) {
        self.found = found
        self.minimum = minimum
    }

    package var detail: String { "this kernel has version \(found) of Landlock, and landlock_min_abi is \(minimum)" }
    package var remedy: String {
        let kernel =
            minimum <= LandlockABI.newestKnown
            ? "use Linux \(LandlockProtection.kernel(ofABI: minimum)) or newer, or " : ""
        return kernel + "lower the plugin option landlock_min_abi"
    }
    var text: String { detail + ": " + remedy }
}

extension ConfinementOptions {
    /// `udp_bind` as the kernel needs it. A socket without a port takes an ephemeral one when it sends its first
    /// datagram, for which the kernel asks for the right to bind to port 0: who may send has it.
    fileprivate var udpPortsToBind: [UInt16]? {
        guard let udpBind, udpConnect.map({ !$0.isEmpty }) ?? true, !udpBind.contains(0) else { return udpBind }
        return udpBind + [0]
    }
}

extension ResourceLimit {
    /// Whether it lets a task take a real-time scheduling class or a nice value below 0 (getrlimit(2)): both go before
    /// the host's processes, and `cpu.max` of a cgroup does not hold real-time processes back.
    fileprivate var givesPriority: Bool {
        switch kind {
        case .rtprio: hard > 0
        case .nice: hard > 20
        case .rttime: true
        default: false
        }
    }

    /// As a job writes it.
    fileprivate var text: String {
        soft == hard ? Self.text(hard) : Self.text(soft) + ":" + Self.text(hard)
    }
}
