import Shared

/// Whether the sandbox has refused a path, and the rule that would allow it. No effects.
enum PathDecision {
    /// - Returns: Nil where the host itself would have answered so.
    static func finding(_ wish: Wish, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess) -> Finding? {
        if facts.isOfProc { return ofProc(wish, error, facts, process) }
        switch error {
        case .noSuchFile, .notDirectory: return missing(wish, error, facts, process)
        case .permissionDenied, .readOnlyFileSystem: return refused(wish, error, facts, process)
        default: return nil
        }
    }

    /// The task's own /proc: what it has is its own, and a rule with w makes it writable.
    private static func ofProc(
        _ wish: Wish, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        // What does not exist there cannot be made there.
        if error == .readOnlyFileSystem && facts.object != nil {
            return Finding(.rule, facts.rule, modes: wish.modes, "mounted read-only (EROFS)")
        }
        guard error == .permissionDenied, let object = facts.object, process.may(wish.permission, object) else {
            return nil
        }
        return Finding(.rule, facts.rule, modes: wish.modes, "the rule lacks a mode (EACCES)")
    }

    private static func missing(
        _ wish: Wish, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        guard facts.endsAtPlaceholder, let target = Target(wish, facts), !target.isShown else { return nil }
        return target.finding(facts, process, "not unveiled (\(errorName(error)))")
    }

    private static func refused(
        _ wish: Wish, _ error: Errno, _ facts: PathFacts, _ process: TracedProcess
    ) -> Finding? {
        guard let target = Target(wish, facts) else { return nil }
        if target.isShown {
            let reason =
                error == .readOnlyFileSystem
                ? "unveiled without w and c (\(errorName(error)))" : "the rule lacks a mode (\(errorName(error)))"
            return target.finding(facts, process, reason)
        }
        guard facts.endsAtPlaceholder else { return nil }
        return target.finding(facts, process, "not unveiled (\(errorName(error)))")
    }

    /// What a rule has to be for: the object, or the directory that an entry is made in.
    private struct Target {
        let path: String
        let modes: AccessModes
        /// What the file's permissions must allow.
        let permission: AccessModes
        let file: FileFacts
        let isShown: Bool

        init?(_ wish: Wish, _ facts: PathFacts) {
            let isObject: Bool
            switch wish.place {
            case .object: isObject = true
            case .objectOrEntry: isObject = facts.object != nil
            case .entry: isObject = false
            }
            guard let file = isObject ? facts.object : facts.directory else { return nil }
            self.file = file
            isShown = isObject ? facts.isObjectShown : facts.isDirectoryShown
            let isMade = wish.place == .objectOrEntry && !isObject
            modes = isMade ? wish.modes.union(.create) : wish.modes
            permission = isMade ? .create : wish.permission
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
