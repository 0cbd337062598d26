import Glibc
import Planning
import Shared

/// What a run has on disk: the task's own directories, its log pipes, and the place of its state directory.
struct RunDirectories: Sendable {
    /// Where the task's directories are made. Not /run, which Debian mounts noexec, and not /tmp, which every
    /// task may write to.
    private static let parent = "/var/tmp"

    /// Of the whole run; stands for a client's directory of an allocation.
    let root: String
    let task: TaskDirectories
    /// The directory for `TaskStateDirectory`, for this run alone.
    let stateDirectory: String

    /// In the terms of a client, whose form of directories this is: `<root>/<allocation>-<task>/local` and so on.
    static let allocID = "run"
    /// Of the directories of runs; the tool's pid and a random number follow.
    static let namePrefix = "nomad-driver-exec2-run-"
    static let taskName = "task"

    /// Variables that tell the task, and `LaunchPlanning`, where the directories are.
    var variables: [String: String] {
        ["NOMAD_TASK_DIR": task.local, "NOMAD_SECRETS_DIR": task.secrets, "NOMAD_ALLOC_DIR": task.alloc]
    }

    var stdoutPipe: String { root + "/logs/stdout" }
    var stderrPipe: String { root + "/logs/stderr" }

    /// Makes all but the state directory, which the engine makes.
    /// - Parameter name: Of this run alone.
    init(name: String, user: TaskUser, stateParent: String) throws(SystemError) {
        var facts = stat()
        guard stat(stateParent, &facts) == 0 else { throw SystemError("use --state-dir", stateParent) }
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            throw SystemError("use --state-dir", stateParent, .notDirectory)
        }
        root = Self.parent + "/" + name
        task = TaskDirectories(
            environment: ["NOMAD_TASK_DIR": "\(root)/\(Self.allocID)-\(Self.taskName)/local"], allocDir: root,
            allocID: Self.allocID, taskName: Self.taskName)
        stateDirectory = stateParent + (stateParent.hasSuffix("/") ? "" : "/") + name
        // Others may pass through and not look around.
        try Self.make(root, 0o711)
        do throws(SystemError) {
            try Self.make(root + "/logs", 0o700)
            for pipe in [stdoutPipe, stderrPipe] where mkfifo(pipe, 0o600) != 0 {
                throw SystemError("make the pipe", pipe)
            }
            for (directory, mode) in [
                (task.task, 0o755), (task.local, 0o755), (task.secrets, 0o700), (task.tmp, 0o755),
                (task.alloc, 0o755),
            ] as [(String, mode_t)] {
                try Self.make(directory, mode, owner: user)
            }
        } catch {
            remove(Console.complain)
            throw error
        }
    }

    private static func make(_ path: String, _ mode: mode_t, owner: TaskUser? = nil) throws(SystemError) {
        guard mkdir(path, 0o700) == 0 else { throw SystemError("make the directory", path) }
        if let owner, chown(path, owner.uid, owner.gid) != 0 {
            throw SystemError("change the owner of", path)
        }
        // The caller's umask has no say here.
        guard chmod(path, mode) == 0 else { throw SystemError("change the mode of", path) }
    }

    /// Removes everything; what cannot be removed is reported.
    func remove(_ report: (String) -> Void) {
        if rmdir(stateDirectory) != 0 && Errno.last != .noSuchFile {
            report(SystemError("remove", stateDirectory).text)
        }
        do throws(SystemError) {
            try DirectoryRemoval.remove(root)
        } catch {
            report(error.text)
        }
    }
}
