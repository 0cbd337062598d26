import CLinux
import CMessages
import SharedEmbedded

/// What every task of a plugin's configuration has in its root beside the template: /proc with its masks, terminals,
/// /dev/shm, and file systems for what only this task has.
///
/// A standby Executor makes it before its request, in a copy of the template's namespace (`RootAhead`).
struct CommonRoot {
    let own: OwnFiles
    let masks: Masks

    /// Adds these mounts to the root of the namespace that this process is in, which is a copy of the template's.
    /// - Parameter areGiven: Whether the Driver has passed the task's devpts, with one of its terminals in use.
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
        // Kept for later commands with a terminal: in a task that has changed its root, the path could lead elsewhere.
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

/// A root that a standby Executor has made before its request: a copy of the template's namespace, with what every task
/// has. The Executor leaves that namespace, and enters it again for a task whose root can be completed from it.
struct RootAhead {
    /// A descriptor of the mount namespace.
    private let namespace: Int32
    let common: CommonRoot
    private let message: Exec2__Executor__TaskRoot

    /// Copies the namespace that this process is in, enters the copy, and completes it.
    ///
    /// - Parameters:
    ///   - message: Only the fields that `fits` compares are set.
    ///   - proc: A descriptor of a /proc that shows this process.
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

    /// Whether the root of a task can be completed from this one.
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

    /// Closes its descriptors: the task gets another root.
    func discard() {
        common.close()
        _ = CLinux.close(namespace)
        _ = exec2_replace_descriptor(STDIN_FILENO, TemplateDescriptor.terminals)
    }
}
