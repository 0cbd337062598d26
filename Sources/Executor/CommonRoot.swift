import CLinux
import CMessages
import SharedEmbedded

/// What every task of a plugin's configuration has in its root beside the template: /proc with its masks, terminals,
/// /dev/shm, and file systems for what only this task has.
///
/// A standby Executor makes it before its request, in a copy of the template's namespace, and then leaves that copy. A
/// task that is to have the same gets the copy.
struct CommonRoot {
    let own: OwnFiles
    let masks: Masks

    /// Adds it to the root of the namespace that this process is in, a copy of the template.
    /// - Parameter terminals: Whether the task's devpts was handed over, with one of its terminals in use.
    static func make(
        _ message: Exec2__Executor__TaskRoot, in tree: inout RootTree, terminals areGiven: Bool
    ) throws(LaunchFailure) -> CommonRoot {
        let masks = try Masks.open(in: tree)
        let own = try OwnFiles.make(shmSize: message.shm_size)
        try own.attachSharedMemory(to: &tree)
        try masks.mountProc(message, in: &tree)
        if message.terminals != 0 { try mountTerminals(in: &tree, areGiven: areGiven) }
        return CommonRoot(own: own, masks: masks)
    }

    private static func mountTerminals(in tree: inout RootTree, areGiven: Bool) throws(LaunchFailure) {
        let place = PathBytes("/dev/pts")
        let terminals = areGiven ? exec2_duplicate(TemplateDescriptor.terminals, 0) : exec2_new_terminals()
        guard terminals >= 0 else { throw LaunchFailure(.rootMount, .last, place.text) }
        try tree.mount(terminals, isDirectory: true, at: place)
        // Kept for commands with a terminal: a path could lead elsewhere in a task that has changed its root.
        let kept = tree.open(place)
        guard kept >= 0, exec2_replace_descriptor(kept, TemplateDescriptor.terminals) >= 0 else {
            throw LaunchFailure(.rootMount, .last, place.text)
        }
        _ = CLinux.close(kept)
    }

    func close() {
        own.close()
        masks.close()
    }
}

/// A copy of the template's namespace with what every task has, made by a standby Executor.
struct RootAhead {
    /// The mount namespace.
    private let namespace: Int32
    let common: CommonRoot
    private let message: Exec2__Executor__TaskRoot

    /// Makes it in a copy of the namespace that this process is in, and stays there.
    ///
    /// - Parameters:
    ///   - message: Has only the fields that `fits` compares.
    ///   - proc: An open /proc that shows this process.
    static func make(_ message: Exec2__Executor__TaskRoot, proc: Int32) throws(LaunchFailure) -> RootAhead {
        let mask = umask(0)
        defer { _ = umask(mask) }
        guard exec2_unshare_mounts() == 0 else { throw LaunchFailure(.enterTemplate, nil) }
        let namespace = exec2_openat(proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC, 0)
        guard namespace >= 0 else { throw LaunchFailure(.enterTemplate, nil) }
        try TaskParent.detach()
        var tree = try RootTree.ofThisNamespace()
        let common = try CommonRoot.make(message, in: &tree, terminals: false)
        try tree.finish()
        return RootAhead(namespace: namespace, common: common, message: message)
    }

    /// Whether a task's root can be completed from it.
    func fits(_ other: Exec2__Executor__TaskRoot) -> Bool {
        guard message.shm_size == other.shm_size, message.terminals == other.terminals,
            message.read_only_proc == other.read_only_proc, message.n_masked == other.n_masked
        else { return false }
        return (0..<message.n_masked).allSatisfy { index in
            guard let left = message.masked[index], let right = other.masked[index] else { return false }
            return strcmp(left, right) == 0
        }
    }

    /// Enters the copy, in which the task will be cloned, and closes its descriptor.
    func enter() throws(LaunchFailure) {
        guard exec2_setns(namespace, UInt64(EXEC2_CLONE_NEWNS)) == 0 else { throw LaunchFailure(.enterTemplate, nil) }
        _ = CLinux.close(namespace)
    }

    /// Closes it, for a task that is to have another root.
    func discard() {
        common.close()
        _ = CLinux.close(namespace)
        _ = exec2_replace_descriptor(STDIN_FILENO, TemplateDescriptor.terminals)
    }
}
