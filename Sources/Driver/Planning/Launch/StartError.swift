import Glibc
import Shared

/// Why a task was not started: the sentence an operator reads in `alloc status`.
package struct StartError: Error, Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The request makes no sense, or names a task that is there already.
        case invalidRequest, alreadyExists
        /// Trying again changes nothing.
        case permanent
        /// A shortage that may pass: the client may try again by its restart policy.
        case transient
    }

    package let kind: Kind
    package let text: String

    package init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }
}

extension StartError {
    /// The client has cancelled StartTask.
    package static let givenUp = StartError(.transient, "StartTask was cancelled before the task ran")

    /// A system call of the Driver's own failed.
    package init(_ error: SystemError) {
        self.init(Self.mayPass(error.errno) ? .transient : .permanent, error.text)
    }

    /// Shortages that end when others end.
    package static func mayPass(_ errno: Errno) -> Bool {
        [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC].contains(errno.rawValue)
    }

    /// What the Executor reported, as a sentence with its remedy where one is known.
    package init(stage number: UInt32, _ errno: Errno, subject: String, context: LaunchFailureContext) {
        let kind: Kind = Self.mayPass(errno) ? .transient : .permanent
        guard let stage = LaunchStage(rawValue: number) else {
            self.init(
                kind,
                "the Executor failed at stage \(number), which only a newer driver knows: \(errno.text)")
            return
        }
        var text = "cannot \(stage.attempt)"
        if !subject.isEmpty { text += " \(subject)" }
        text += ": \(errno.text)"
        if let hint = Self.hint(stage, errno, subject, context) { text += "; \(hint)" }
        self.init(kind, text)
    }

    package static func namedBy(_ origin: String, _ rule: UnveilRule) -> String {
        "it is named by the \(origin): \(quoted(rule.text))"
    }

    private static func hint(
        _ stage: LaunchStage, _ errno: Errno, _ subject: String, _ context: LaunchFailureContext
    ) -> String? {
        switch stage {
        case .request: return "driver and Executor are of different releases: install both programs of one"
        case .unveil:
            guard let unveil = context.rules.first(where: { $0.rule.path == subject }) else { return nil }
            if unveil.noSymlink {
                return isSymlink(errno) ? mustBeDirectory : nil
            }
            if unveil.staysInTask && [ELOOP, EXDEV].contains(errno.rawValue) {
                return
                    "a symlink or .. in it leads out of the task's directory; \(quoted(unveil.rule.text)) is named by the "
                    + (unveil.origin ?? "driver")
            }
            let name = unveil.origin.map { namedBy($0, unveil.rule) }
            return errno.rawValue == E2BIG ? [tooManyPlaces, name].compactMap(\.self).joined(separator: "; ") : name
        case .limit where errno == .noSuchFile:
            return "the cgroup \(context.cgroup) has no such file: its controller is not enabled there "
                + "(cgroup.subtree_control of the parent)"
        case .limit:
            return "in the cgroup \(context.cgroup)"
        case .openCgroup where errno == .noSuchFile:
            return "the client makes it before it starts a task"
        case .notACgroup: return "it is not on a cgroup v2 file system"
        case .stdoutIsNoPipe, .stderrIsNoPipe: return "it must be a FIFO or /dev/null"
        case .stdoutLog where errno == .tooManySymlinks, .stderrLog where errno == .tooManySymlinks:
            return "a symlink in the path of a log is not followed, since a task could have put it there"
        case .ruleset where errno.rawValue == ENOSYS || errno.rawValue == EOPNOTSUPP:
            return "this kernel has no Landlock, or it is not among the lsm= of its command line"
        case .workDir where errno == .crossDeviceLink:
            return "a symlink or .. in it leads out of the task's directory"
        case .workDir where errno == .noSuchFile || errno == .notDirectory:
            return
                "it must be a directory that exists when the task starts, in the task's directory or below what is unveiled"
        case .generatedFile where errno == .noSuchFile:
            return "it is mounted over the host's file, which must exist: create an empty one"
        case .hiddenDirectory where errno == .permissionDenied:
            let rule = context.rules.first { $0.origin != nil && $0.rule.path == subject }
            return "it is in a directory that no task reaches: the client's allocations, or the driver's state"
                + (rule.map { "; " + namedBy($0.origin ?? "", $0.rule) } ?? "")
        case .ownDirectory where isSymlink(errno): return mustBeDirectory
        case .ownDirectory where errno == .noSuchFile:
            return "the client has not created it, or the job sets NOMAD_TASK_DIR to another path"
        case .rootMount where errno == .noSuchFile:
            return "it was replaced while it was being mounted, at every attempt: look for a program that replaces it "
                + "all the time, or unveil its directory"
        case .taskDirectory: return missingMounts
        case .mount: return mountHint(errno, subject, context)
        case .mountSource, .deviceSource: return context.mounts.hint(ofSource: subject)
        case .notADevice: return "it is not a device node"
        case .volumeIsDevice: return "it is a device node, and those have to come from a device plugin"
        case .workDir where errno == .permissionDenied:
            return "user \(quoted(context.user)) must be able to enter it"
        case .resourceLimit where errno == .notPermitted:
            return "a hard limit can only be raised by an agent that has CAP_SYS_RESOURCE, and nofile not beyond the "
                + "sysctl fs.nr_open"
        case .seccomp where errno == .invalidArgument:
            return "this kernel has no seccomp filters; an operator can set the plugin option seccomp = false"
        case .enterNetwork where errno == .invalidArgument: return "it is not a network namespace"
        default: return nil
        }
    }

    /// What a path gives that is followed through no symlink.
    private static func isSymlink(_ errno: Errno) -> Bool { [ELOOP, EXDEV, ENOTDIR].contains(errno.rawValue) }

    private static let mustBeDirectory = "this directory of the task must be a directory, not a symlink"

    private static let tooManyPlaces =
        "a root has at most \(RootLimit.places) directories and symlinks on the ways to what is unveiled: unveil fewer "
        + "paths, or a directory above them"

    private static let missingMounts =
        "the client does not repeat its mounts after a reboot of the host; stop the allocation (nomad alloc stop), so "
        + "that the task is placed anew"

    private static func mountHint(
        _ errno: Errno, _ subject: String, _ context: LaunchFailureContext
    ) -> String? {
        guard let mount = context.mounts.first(where: { $0.destination == subject }) else { return nil }
        switch errno {
        case .noSuchFile where !mount.isMade:
            return "nothing is created in a directory of the host that the task may write to: create it on this host, "
                + "or choose a destination in the task's directory, such as ${NOMAD_TASK_DIR}/data"
        case .tooManySymlinks, .crossDeviceLink:
            return "no symlink is followed in a destination: it must be the path that it leads to"
        case .notDirectory:
            return "a directory can only be mounted on a directory, below directories"
        case .isDirectory:
            return "a file can only be mounted on a file, and \(mount.source) is not a directory"
        case .permissionDenied, .readOnlyFileSystem:
            return "it does not exist, and user \(quoted(context.user)) may not make it there"
        default: return nil
        }
    }
}

extension [LaunchFailureContext.Mount] {
    /// What the source of a volume or device was wanted for.
    fileprivate func hint(ofSource source: String) -> String? {
        guard let mount = first(where: { $0.source == source }) else { return nil }
        return "it is to be the task's \(mount.isDevice ? "device" : "volume") \(quoted(mount.destination ?? source))"
    }
}
