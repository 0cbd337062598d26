import CLinux
import SharedEmbedded

/// One factory for each kind of step: which fields of `exec2_step` a kind uses stands here and in child.c.
///
/// Paths and bytes are borrowed: they stay valid until the plan has run.
extension exec2_step {
    private init(_ kind: exec2_step_kind) {
        self.init()
        self.kind = kind.rawValue
        fd = -1
    }

    // MARK: Process

    /// A session of the child's own (setsid(2)).
    static var session: exec2_step { exec2_step(EXEC2_STEP_SESSION) }

    /// Writes self/oom_score_adj below `proc`, an open /proc; -1: the one at /proc. `LaunchPlan.run` fills in the text.
    static func oomScoreAdjustment(in proc: Int32 = -1) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_OOM_SCORE_ADJ)
        step.fd = proc
        return step
    }

    /// Duplicates `descriptor` as `number`; the copy survives execve.
    static func descriptor(_ descriptor: Int32, becomes number: Int32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_DESCRIPTOR)
        step.fd = descriptor
        step.number = UInt64(number)
        return step
    }

    /// Closes every descriptor from `first` on.
    static func close(from first: Int32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_CLOSE)
        step.number = UInt64(first)
        return step
    }

    /// Empties the signal mask. The dispositions are at their defaults already.
    static var signalMask: exec2_step {
        var step = exec2_step(EXEC2_STEP_SIGNALS)
        step.number = 1
        return step
    }

    static func umask(_ mask: UInt64) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_UMASK)
        step.number = mask
        return step
    }

    /// Makes `descriptor` the controlling terminal of the session.
    static func terminal(_ descriptor: Int32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_TERMINAL)
        step.fd = descriptor
        return step
    }

    /// SIGKILL when the parent, whose pidfd this is, is gone.
    static func dieWithParent(_ pidfd: Int32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_PARENT_DEATH)
        step.fd = pidfd
        return step
    }

    // MARK: Namespaces and mounts

    /// - Parameter path: The namespace's, for errors.
    static func network(_ namespace: Int32, path: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_NETWORK)
        step.fd = namespace
        step.path = path
        return step
    }

    /// - Parameters:
    ///   - namespaces: CLONE_NEW* flags.
    ///   - subject: The task's id, for errors.
    static func join(_ process: Int32, _ namespaces: UInt64, subject: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_JOIN)
        step.fd = process
        step.number = namespaces
        step.path = subject
        return step
    }

    /// Mounts made by the child do not reach the host; the host's unmounts reach the child.
    static var mountsAsSlave: exec2_step { exec2_step(EXEC2_STEP_MOUNTS_SLAVE) }

    /// Mounts the PID namespace's own /proc.
    static var proc: exec2_step { exec2_step(EXEC2_STEP_PROC) }

    /// Makes a directory read-only where it exists.
    static func readOnly(_ inside: UnsafePointer<CChar>?, below root: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_READ_ONLY)
        step.path = root
        step.text = inside
        step.optional = 1
        return step
    }

    /// Mounts the one file of a memory file system over `path`.
    static func generatedFile(_ fileSystem: Int32, at path: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_GENERATED_FILE)
        step.fd = fileSystem
        step.path = path
        return step
    }

    /// Attaches a detached mount. What is missing of its destination is made as `user` and `group`.
    static func mount(_ volume: TaskMounts.Volume, user: UInt32, group: UInt32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_MOUNT)
        step.fd = volume.descriptor
        step.number = UInt64((volume.isDirectory ? EXEC2_MOUNT_DIRECTORY : 0) | (volume.isMade ? EXEC2_MOUNT_MAKE : 0))
        step.path = volume.root
        step.text = volume.inside
        step.user = user
        step.group = group
        return step
    }

    // MARK: Identity and limits

    static func groups(_ values: UnsafePointer<UInt32>?, count: Int) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_GROUPS)
        step.number = UInt64(count)
        step.values = values
        return step
    }

    static func groupID(_ group: UInt32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_GROUP_ID)
        step.number = UInt64(group)
        return step
    }

    static func userID(_ user: UInt32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_USER_ID)
        step.number = UInt64(user)
        return step
    }

    /// Drops every capability from the bounding set that is not in `mask`.
    static func boundingSet(keeping mask: UInt64) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_BOUNDING_SET)
        step.number = mask
        return step
    }

    /// The change of user leaves the permitted set (prctl(2), PR_SET_KEEPCAPS).
    static var keepCapabilities: exec2_step { exec2_step(EXEC2_STEP_KEEP_CAPABILITIES) }

    /// Permitted and effective set become `mask`.
    static func capabilities(_ mask: UInt64) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_CAPABILITIES)
        step.number = mask
        return step
    }

    /// Adds `mask` to the ambient set: execve passes these capabilities on.
    static func ambient(_ mask: UInt64) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_AMBIENT)
        step.number = mask
        return step
    }

    /// - Parameter onlyRaising: A limit that is higher already stays.
    static func resourceLimit(
        _ resource: UInt32, soft: UInt64, hard: UInt64, onlyRaising: Bool
    ) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_RESOURCE_LIMIT)
        step.number = UInt64(resource)
        step.soft = soft
        step.hard = hard
        step.optional = onlyRaising ? 1 : 0
        return step
    }

    // MARK: Confinement

    /// Changes to the directory `path`.
    static func workDirectory(_ path: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_WORK_DIR)
        step.path = path
        return step
    }

    /// Changes to a directory below `root` that symlinks do not lead out of.
    static func workDirectory(_ inside: UnsafePointer<CChar>?, beneath root: UnsafePointer<CChar>?) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_WORK_DIR)
        step.path = root
        step.text = inside
        return step
    }

    static var noNewPrivileges: exec2_step { exec2_step(EXEC2_STEP_NO_NEW_PRIVS) }

    /// Opens `path` in the child and adds it to the ruleset.
    ///
    /// - Parameters:
    ///   - directory: What the path begins with and must not lead out of; nil where it may lead anywhere.
    ///   - keepsDirectories: No directory below it can be removed or renamed.
    ///   - flags: EXEC2_UNVEIL_*.
    ///   - optional: A path that does not exist, or leads out of the directory, is passed over.
    static func unveil(
        _ path: UnsafePointer<CChar>?, _ modes: UInt32, in ruleset: Ruleset,
        beneath directory: UnsafePointer<CChar>? = nil, keepsDirectories: Bool = false, flags: Int32, optional: Bool
    ) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_UNVEIL)
        step.fd = ruleset.number
        step.number = UInt64(flags)
        step.path = path
        step.text = directory
        step.directory_rights = ruleset.rights(modes, on: .directory)
        if keepsDirectories { step.directory_rights &= ~LandlockRights.removeDir.rawValue }
        step.file_rights = ruleset.rights(modes, on: .file)
        step.optional = optional ? 1 : 0
        return step
    }

    /// As `unveil`, but only where the file at `path` has exactly this content. What else may be there is passed over.
    static func unveil(
        _ path: UnsafePointer<CChar>?, _ modes: UInt32, in ruleset: Ruleset, content: UnsafeRawPointer?, count: Int
    ) -> exec2_step {
        var step = unveil(
            path, modes, in: ruleset, flags: EXEC2_UNVEIL_ONLY_CONTENT | EXEC2_UNVEIL_ANY_FAILURE, optional: true)
        step.text = content?.assumingMemoryBound(to: CChar.self)
        step.text_size = UInt64(count)
        return step
    }

    /// Denials on what `path` names, and below it, are not logged.
    static func quiet(_ path: UnsafePointer<CChar>?, in ruleset: Ruleset) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_UNVEIL)
        step.fd = ruleset.number
        step.number = UInt64(EXEC2_UNVEIL_QUIET | EXEC2_UNVEIL_ANY_FAILURE)
        step.path = path
        step.optional = 1
        return step
    }

    /// Enforces the ruleset, which is at `descriptor` (landlock_restrict_self(2)).
    static func restrict(_ ruleset: Ruleset, at descriptor: Int32) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_RESTRICT)
        step.fd = descriptor
        step.number = ruleset.enforcementFlags
        return step
    }

    /// - Parameter count: Of `struct sock_filter`.
    static func seccomp(_ filter: UnsafeRawPointer, count: Int) -> exec2_step {
        var step = exec2_step(EXEC2_STEP_SECCOMP)
        step.number = UInt64(count)
        step.filter = filter
        return step
    }
}
