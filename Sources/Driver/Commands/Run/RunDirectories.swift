import Glibc
import Host
import Planning
import Shared

/// What a run has on disk: the task's own directories, its log pipes, and the place of its state directory.
struct RunDirectories: Sendable {
    /// Where the task's directories are made. Not /run, which Debian mounts noexec, and not /tmp, which every
    /// task may write to.
    private static let parent = "/var/tmp"

    /// Of the whole run; stands for a client's directory of an allocation.
    let root: String
    /// Whose the task's directories are, and who so may not be another run's.
    let user: TaskUser
    let task: TaskDirectories
    /// The directory for `TaskStateDirectory`, for this run alone.
    let stateDirectory: String

    /// In the terms of a client, whose form of directories this is: `<root>/<allocation>-<task>/local` and so on.
    static let allocID = "run"
    /// Of the directories of runs; the tool's pid and a random number follow.
    static let namePrefix = "nomad-driver-exec2-run-"
    static let taskName = "task"
    /// Of the task's directory in that of its run.
    static let taskDirectoryName = "\(allocID)-\(taskName)"

    /// Variables that tell the task, and `LaunchPlanning`, where the directories are.
    var variables: [String: String] {
        ["NOMAD_TASK_DIR": task.local, "NOMAD_SECRETS_DIR": task.secrets, "NOMAD_ALLOC_DIR": task.alloc]
    }

    var stdoutPipe: String { root + "/logs/stdout" }
    var stderrPipe: String { root + "/logs/stderr" }

    /// Makes all of it.
    /// - Parameters:
    ///   - name: Of this run alone.
    ///   - user: Nil: a dynamic user that no other run has (`RunUser`).
    ///   - uid: That of the dynamic user, if possible.
    init(name: String, user: TaskUser?, preferring uid: uid_t?, stateParent: String) throws(RunFailure) {
        let root = Self.parent + "/" + name
        self.root = root
        task = TaskDirectories(
            environment: ["NOMAD_TASK_DIR": "\(root)/\(Self.taskDirectoryName)/local"], allocDir: root,
            allocID: Self.allocID, taskName: Self.taskName)
        stateDirectory = stateParent + (stateParent.hasSuffix("/") ? "" : "/") + name
        do throws(RunFailure) {
            try Self.makeStateDirectory(stateDirectory, in: stateParent)
            do throws(SystemError) {
                // Others may pass through and not look around.
                try Self.make(root, 0o711)
                try Self.make(task.task, 0o755)
                self.user = try RunUser.claim(user, preferring: uid, of: task.task, among: Self.parent)
                try Self.make(root + "/logs", 0o700)
                for pipe in [root + "/logs/stdout", root + "/logs/stderr"] where mkfifo(pipe, 0o600) != 0 {
                    throw SystemError("make the pipe", pipe)
                }
                for (directory, mode) in [
                    (task.local, 0o755), (task.secrets, 0o700), (task.tmp, 0o755), (task.alloc, 0o755),
                ] as [(String, mode_t)] {
                    try Self.make(directory, mode, owner: self.user)
                }
            } catch {
                throw RunFailure(error.text)
            }
        } catch {
            Self.remove(root, stateDirectory: stateDirectory, Console.complain)
            throw error
        }
    }

    /// Before the engine does, which knows the plugin's options alone.
    private static func makeStateDirectory(_ path: String, in parent: String) throws(RunFailure) {
        if let fault = StateDirectory(path: path).fault { throw RunFailure(fault.sentence(setting: "set \(option)")) }
        var facts = stat()
        let isThere = stat(parent, &facts) == 0
        guard isThere, facts.st_mode & S_IFMT == S_IFDIR else {
            throw RunFailure(SystemError("use --state-dir", parent, isThere ? .notDirectory : .last).text)
        }
        guard mkdir(path, 0o700) == 0 else {
            throw RunFailure(
                "\(SystemError("make the directory", path).text); set \(option) to another directory")
        }
    }

    private static let option = "--state-dir"

    private static func make(_ path: String, _ mode: mode_t, owner: TaskUser? = nil) throws(SystemError) {
        guard mkdir(path, 0o700) == 0 else { throw SystemError("make the directory", path) }
        if let owner, chown(path, owner.uid, owner.gid) != 0 {
            throw SystemError("change the owner of", path)
        }
        // The caller's umask has no say here.
        guard chmod(path, mode) == 0 else { throw SystemError("change the mode of", path) }
    }

    /// Removes everything; what cannot be removed is reported.
    func remove(_ report: (String) -> Void) { Self.remove(root, stateDirectory: stateDirectory, report) }

    private static func remove(_ root: String, stateDirectory: String, _ report: (String) -> Void) {
        // A read-only file system refuses to remove what is not there as well.
        if access(stateDirectory, F_OK) == 0, rmdir(stateDirectory) != 0 {
            report(SystemError("remove", stateDirectory).text)
        }
        do throws(SystemError) {
            try DirectoryRemoval.remove(root)
        } catch {
            report(error.text)
        }
    }
}
