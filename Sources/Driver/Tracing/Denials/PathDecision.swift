import Shared

/// Whether the sandbox has refused access to a path, and the rule that would allow it. No effects.
enum PathDecision {
    /// - Returns: Nil if the call would have failed without the sandbox too.
    static func finding(_ access: RequestedAccess, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess)
        -> Finding?
    {
        if facts.isOfProc { return ofProc(access, error, facts, process) }
        switch error {
        case .noSuchFile, .notDirectory: return missing(access, error, facts, process)
        case .permissionDenied, .readOnlyFileSystem: return refused(access, error, facts, process)
        default: return nil
        }
    }

    /// The task's /proc is its own, so that it does not hide files; a rule with w makes it writable.
    private static func ofProc(
        _ access: RequestedAccess, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        // A file that does not exist in /proc cannot be made there.
        if error == .readOnlyFileSystem && facts.object != nil {
            return Finding(.rule, facts.rule, modes: access.modes, "mounted read-only (EROFS)")
        }
        guard error == .permissionDenied, let object = facts.object, process.may(access.permission, object) else {
            return nil
        }
        return Finding(.rule, facts.rule, modes: access.modes, "the rule lacks a mode (EACCES)")
    }

    private static func missing(
        _ access: RequestedAccess, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        guard facts.endsAtPlaceholder, let target = Target(access, facts), !target.isVisible else { return nil }
        return target.finding(facts, process, "not unveiled (\(errorName(error)))")
    }

    private static func refused(
        _ access: RequestedAccess, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        guard let target = Target(access, facts) else { return nil }
        if target.isVisible {
            let reason =
                error == .readOnlyFileSystem
                ? "unveiled without w and c (\(errorName(error)))" : "the rule lacks a mode (\(errorName(error)))"
            return target.finding(facts, process, reason)
        }
        guard facts.endsAtPlaceholder else { return nil }
        return target.finding(facts, process, "not unveiled (\(errorName(error)))")
    }

    /// What needs a rule: the object, or the directory in which an entry is made.
    private struct Target {
        let path: String
        let modes: AccessModes
        /// What the file's permissions must allow.
        let permission: AccessModes
        let file: FileFacts
        let isVisible: Bool

        init?(_ access: RequestedAccess, _ facts: PathFacts) {
            let isObject: Bool
            switch access.place {
            case .object: isObject = true
            case .objectOrEntry: isObject = facts.object != nil
            case .entry: isObject = false
            }
            guard let file = isObject ? facts.object : facts.directory else { return nil }
            self.file = file
            isVisible = isObject ? facts.isObjectVisible : facts.isDirectoryVisible
            let isMade = access.place == .objectOrEntry && !isObject
            modes = isMade ? access.modes.union(.create) : access.modes
            permission = isMade ? .create : access.permission
            path = isObject ? facts.rule : facts.directoryRule
        }

        func finding(_ facts: PathFacts, _ process: TracedProcess, _ reason: String) -> Finding {
            if facts.isPassable && process.may(permission, file) {
                return Finding(.rule, path, modes: modes, isDirectory: file.isDirectory, reason)
            }
            let why =
                facts.isPassable
                ? "mode 0" + String(file.mode & 0o7777, radix: 8) + ", owner " + String(file.owner) + ", group "
                    + String(file.group) : "a directory above it cannot be passed"
            return Finding(
                .permissions, path,
                "user " + String(process.uid) + " may not do this on the host either (" + why + ")")
        }
    }
}
