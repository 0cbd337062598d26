import Glibc
import Shared
import Testing

@testable import Planning

@Suite struct StartErrorTests {
    static let specification: LaunchSpecification = {
        var result = LaunchSpecification(
            user: TaskUser(name: "nobody", uid: 65534, gid: 65534, groups: [], home: "/nonexistent"))
        result.cgroup = "/sys/fs/cgroup/x.scope"
        result.unveil = [
            .init(rule: UnveilRule(modes: .read, path: "/default"), optional: true),
            .init(rule: UnveilRule(modes: .all, path: "/mnt/a-web/local"), optional: true, noSymlink: true),
            .init(
                rule: UnveilRule(modes: [.read, .execute], path: "/srv/x"),
                origin: "plugin option unveil_paths"),
            .init(
                rule: UnveilRule(modes: .read, path: "/mnt/a-web/local/in"), afterMounts: true,
                beneath: "/mnt/a-web/local", origin: "task option unveil"),
        ]
        let directories = TaskDirectories(
            environment: ["NOMAD_TASK_DIR": "/mnt/a-web/local"], allocDir: "/alloc", allocID: "a", taskName: "web")
        let volumes = ["/data", "local/data"].map {
            VolumeRequest(taskPath: $0, hostPath: "/srv\($0.first == "/" ? 1 : 2)")
        }
        result.mounts =
            (try? MountPlanning(directories: directories, allocDir: "/alloc", namedRules: []).mounts(
                volumes: volumes, devices: [DeviceRequest(taskPath: "/dev/kvm", hostPath: "/dev/kvm")])) ?? []
        return result
    }()

    private static let missingMounts =
        "the client does not repeat its mounts after a reboot of the host; stop the allocation (nomad alloc stop), so "
        + "that the task is placed anew"

    private func error(_ stage: LaunchStage, _ errno: Int32, _ subject: String = "") -> StartError {
        StartError(
            stage: stage.rawValue, Errno(rawValue: errno), subject: subject,
            context: LaunchFailureContext(Self.specification))
    }

    @Test(
        arguments: [
            (.mountProc, EPERM, "", "cannot mount /proc in the task's namespace: Operation not permitted"),
            (
                .unveil, ENOENT, "/srv/x",
                "cannot unveil /srv/x: No such file or directory; it is named by the plugin option unveil_paths: "
                    + "\"rx:/srv/x\""
            ),
            (
                .unveil, E2BIG, "/srv/x",
                "cannot unveil /srv/x: Argument list too long; a root has at most 4096 directories and symlinks on the "
                    + "ways to what is unveiled: unveil fewer paths, or a directory above them; it is named by the "
                    + "plugin option unveil_paths: \"rx:/srv/x\""
            ),
            (
                .taskDirectory, ENOENT, "/alloc/web/secrets",
                "cannot mount the task's directory /alloc/web/secrets: No such file or directory; "
                    + missingMounts
            ),
            (
                .ownDirectory, ELOOP, "/mnt/a-web",
                "cannot show the task its directory /mnt/a-web: Too many levels of symbolic links; this directory of the task "
                    + "must be a directory, not a symlink"
            ),
            (
                .ownDirectory, ENOENT, "/mnt/a-web",
                "cannot show the task its directory /mnt/a-web: No such file or directory; the client has not created "
                    + "it, or the job sets NOMAD_TASK_DIR to another path"
            ),
            (
                .rootMount, ENOENT, "/etc/hosts",
                "cannot mount in the task's root /etc/hosts: No such file or directory; it was replaced while it was "
                    + "being mounted, at every attempt: look for a program that replaces it all the time, or unveil its "
                    + "directory"
            ),
            (
                .mount, ENOENT, "/data",
                "cannot mount at /data: No such file or directory; nothing is created in a directory of the host that the task "
                    + "may write to: create it on this host, or choose a destination in the task's directory, such as "
                    + "${NOMAD_TASK_DIR}/data"
            ),
            (
                .mount, ELOOP, "/mnt/a-web/local/data",
                "cannot mount at /mnt/a-web/local/data: Too many levels of symbolic links; no symlink is followed in "
                    + "a destination: it must be the path that it leads to"
            ),
            (
                .mount, EACCES, "/mnt/a-web/local/data",
                "cannot mount at /mnt/a-web/local/data: Permission denied; it does not exist, and user \"nobody\" may "
                    + "not make it there"
            ),
            (
                .mount, ENOTDIR, "/data",
                "cannot mount at /data: Not a directory; a directory can only be mounted on a directory, below directories"
            ),
            (
                .mountSource, ENOENT, "/srv1",
                "cannot open the volume's source /srv1: No such file or directory; it is to be the task's volume "
                    + "\"/data\""
            ),
            (
                .deviceSource, ENOENT, "/dev/kvm",
                "cannot open the device /dev/kvm: No such file or directory; it is to be the task's device "
                    + "\"/dev/kvm\""
            ),
            (
                .generatedFile, ENOENT, "/etc/hosts",
                "cannot give the task its own /etc/hosts: No such file or directory; it is mounted over the "
                    + "host's file, which must exist: create an empty one"
            ),
            (
                .workDir, EXDEV, "/mnt/a-web/local/x",
                "cannot change to the working directory /mnt/a-web/local/x: Invalid cross-device link; a symlink or .. "
                    + "in it leads out of the task's directory"
            ),
            (.unveil, EACCES, "/default", "cannot unveil /default: Permission denied"),
            (.unveil, ENOENT, "/elsewhere", "cannot unveil /elsewhere: No such file or directory"),
            (
                .unveil, ELOOP, "/mnt/a-web/local",
                "cannot unveil /mnt/a-web/local: Too many levels of symbolic links; this directory of the task must be "
                    + "a directory, not a symlink"
            ),
            (
                .unveil, EXDEV, "/mnt/a-web/local/in",
                "cannot unveil /mnt/a-web/local/in: Invalid cross-device link; a symlink or .. in it leads out of the "
                    + "task's directory; \"r:/mnt/a-web/local/in\" is named by the task option unveil"
            ),
            (
                .limit, ENOENT, "64 to memory.max",
                "cannot write the limit 64 to memory.max: No such file or directory; the cgroup "
                    + "/sys/fs/cgroup/x.scope has no such file: its controller is not enabled there "
                    + "(cgroup.subtree_control of the parent)"
            ),
            (
                .limit, EINVAL, "x to cpu.max",
                "cannot write the limit x to cpu.max: Invalid argument; in the cgroup /sys/fs/cgroup/x.scope"
            ),
            (
                .openCgroup, ENOENT, "/x",
                "cannot open the task's cgroup /x: No such file or directory; the client makes it before it starts "
                    + "a task"
            ),
            (.openCgroup, EACCES, "/x", "cannot open the task's cgroup /x: Permission denied"),
            (
                .notACgroup, EINVAL, "/tmp",
                "cannot use as the task's cgroup /tmp: Invalid argument; it is not on a cgroup v2 file system"
            ),
            (
                .stdoutIsNoPipe, EINVAL, "/x",
                "cannot use as the task's stdout /x: Invalid argument; it must be a FIFO or /dev/null"
            ),
            (
                .stderrIsNoPipe, EINVAL, "/x",
                "cannot use as the task's stderr /x: Invalid argument; it must be a FIFO or /dev/null"
            ),
            (
                .stdoutLog, ELOOP, "/x",
                "cannot open the task's stdout /x: Too many levels of symbolic links; a symlink in the path of a log "
                    + "is not followed, since a task could have put it there"
            ),
            (.stderrLog, ENOENT, "/x", "cannot open the task's stderr /x: No such file or directory"),
            (
                .ruleset, EOPNOTSUPP, "",
                "cannot create a Landlock ruleset: Operation not supported; this kernel has no Landlock, or it is not "
                    + "among the lsm= of its command line"
            ),
            (
                .workDir, EACCES, "/mnt/a-web",
                "cannot change to the working directory /mnt/a-web: Permission denied; user \"nobody\" must be able to "
                    + "enter it"
            ),
            (
                .enterNetwork, EINVAL, "/etc/passwd",
                "cannot enter the network namespace /etc/passwd: Invalid argument; it is not a network namespace"
            ),
        ] as [(LaunchStage, Int32, String, String)])
    func aFailedStageIsASentenceWithItsRemedy(stage: LaunchStage, errno: Int32, subject: String, text: String) {
        let error = error(stage, errno, subject)
        #expect(error.text == text)
        #expect(error.kind == .permanent)
    }

    @Test func everyStageMakesASentence() {
        for stage in LaunchStage.allCases {
            let text = error(stage, EIO, "/x").text
            #expect(text.hasPrefix("cannot \(stage.attempt) /x: Input/output error"), "\(text)")
        }
    }

    @Test func aStageOfANewerExecutorKeepsItsNumber() {
        let error = StartError(
            stage: 4711, .noSpace, subject: "x", context: LaunchFailureContext(Self.specification))
        #expect(
            error.text
                == "the Executor failed at stage 4711, which only a newer driver knows: No space left on device"
        )
        #expect(error.kind == .transient)
    }

    @Test(arguments: [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC])
    func shortagesMayPass(errno: Int32) {
        #expect(error(.clone, errno).kind == .transient)
        #expect(StartError(SystemError("make", "x", Errno(rawValue: errno))).kind == .transient)
    }

    @Test(arguments: [EPERM, EACCES, ENOENT, EINVAL, EEXIST, EROFS, EBADF])
    func mistakesDoNotPass(errno: Int32) {
        #expect(error(.clone, errno).kind == .permanent)
        #expect(StartError(SystemError("make", "x", Errno(rawValue: errno))).kind == .permanent)
    }
}
