import Shared

/// A volume or a device as the Executor is to mount and unveil it.
struct TaskMount: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        case volume, device
    }

    let kind: Kind
    /// On the host.
    let source: String
    let destination: MountDestination
    let modes: AccessModes
    var readOnly = false
    var noExec = false
    var followsHost = false
}

/// From what the client asks for to what is mounted: all decisions, no effects.
struct MountPlanning: Sendable {
    let directories: TaskDirectories
    let allocDir: String
    /// Rules of the operator and the job.
    let namedRules: [UnveilRule]
    /// Whether `/tmp` is a directory of the task's own.
    var hasPrivateTmp = false

    /// Everything to mount, parents before what is below them.
    func mounts(
        volumes: [VolumeRequest], devices: [DeviceRequest]
    ) throws(StartError) -> [TaskMount] {
        var result: [TaskMount] = []
        for volume in volumes { result.append(try mount(volume)) }
        for device in devices {
            let mount = try mount(device)
            // Plugins name what their devices have in common once for each device.
            if !result.contains(mount) { result.append(mount) }
        }
        var taken: Set<String> = []
        for mount in result {
            let path = mount.destination.path
            if !taken.insert(path).inserted {
                throw StartError(
                    .permanent, "two volumes or devices of the task have the destination \(quoted(path)): only one can")
            }
        }
        return result.sorted { $0.destination.path < $1.destination.path }
    }

    private func mount(_ request: VolumeRequest) throws(StartError) -> TaskMount {
        let subject = "volume mount \(quoted(request.taskPath))"
        let source = try source(request.hostPath, of: subject)
        let destination = try MountDestination(
            request.taskPath, of: subject, directories: directories, allocDir: allocDir, isDevice: false,
            hasPrivateTmp: hasPrivateTmp)
        if !request.seLinuxLabel.isEmpty {
            throw StartError(
                .permanent,
                "\(subject): selinux_label is \(quoted(request.seLinuxLabel)), and this driver labels nothing: leave "
                    + "it out, tasks are not confined by SELinux")
        }
        return TaskMount(
            kind: .volume, source: source, destination: destination, modes: request.readOnly ? .read : .all,
            readOnly: request.readOnly,
            noExec: request.readOnly && !isMadeExecutable(destination.path) && !isMadeExecutable(source),
            followsHost: try followsHost(request.propagation, subject))
    }

    /// A task has no right to mount anything, so that there is nothing to hand on to the host.
    private func followsHost(_ propagation: String, _ subject: String) throws(StartError) -> Bool {
        switch propagation {
        case "", "private": return false
        case "host-to-task": return true
        case "bidirectional":
            throw StartError(
                .permanent,
                "\(subject): propagation_mode is \"bidirectional\", but a task of this driver cannot mount anything: "
                    + "use \"host-to-task\" or \"private\"")
        default:
            throw StartError(
                .permanent,
                "\(subject): propagation_mode is \(quoted(propagation)): must be \"private\" or \"host-to-task\"")
        }
    }

    private func mount(_ request: DeviceRequest) throws(StartError) -> TaskMount {
        let path = request.taskPath.isEmpty ? request.hostPath : request.taskPath
        let subject = "device \(quoted(path))"
        let source = try source(request.hostPath, of: subject)
        let modes = try modes(request.permissions, subject)
        return TaskMount(
            kind: .device, source: source,
            destination: try MountDestination(
                path, of: subject, directories: directories, allocDir: allocDir, isDevice: true,
                hasPrivateTmp: hasPrivateTmp),
            modes: modes)
    }

    /// `m`, the right to make nodes, is nothing that a task could have.
    private func modes(_ permissions: String, _ subject: String) throws(StartError) -> AccessModes {
        var modes: AccessModes = []
        for letter in permissions.isEmpty ? "rw" : permissions {
            switch letter {
            case "r": modes.formUnion(.read)
            case "w": modes.formUnion(.write)
            case "m": break
            default:
                throw StartError(
                    .permanent,
                    "\(subject): cgroup_permissions is \(quoted(permissions)): must be any of r, w and m")
            }
        }
        if modes.isEmpty {
            throw StartError(
                .permanent,
                "\(subject): cgroup_permissions is \(quoted(permissions)), which allows neither reading nor writing")
        }
        return modes
    }

    private func source(_ path: String, of subject: String) throws(StartError) -> String {
        guard path.utf8.first == UInt8(ascii: "/") else {
            throw StartError(
                .permanent, "\(subject): its host_path is \(quoted(path)): must be an absolute path of this host")
        }
        return path
    }

    /// Whether a rule with x is for this path, what is above it or what is below it.
    private func isMadeExecutable(_ path: String) -> Bool {
        let parts = path.pathComponents
        return namedRules.contains { rule in
            let named = rule.path.pathComponents
            return rule.modes.contains(.execute) && (named.starts(with: parts) || parts.starts(with: named))
        }
    }
}
