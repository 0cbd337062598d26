// Stands between the test session and the plugin: starts it, reports its pid and
// its end, and adopts and reaps every orphan below, so that all that a plugin
// ever started can be found and counted under one process.
//
//   subreaper REPORT-FD [--root LAYER MOUNT-POINT] [--keep PATH]... [--bind SOURCE TARGET]...
//        -- COMMAND [ARGUMENT]...
//
// REPORT-FD receives the lines "pid N" and, when the command ends, "exit STATUS"
// (as wait(2) has it). The options give the command a mount namespace of its own.
// --root: its root is the host's with a copy of LAYER over it; of the host's other mounts it
// sees those below each --keep, which may follow --root only. --bind: SOURCE covers
// TARGET.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "subreaper: %s: %s\n", what, strerror(errno));
    exit(125);
}

// mount(2), or the end of the program.
static void prepare(const char *what, const char *source, const char *target, const char *kind, unsigned long flags, const char *data) {
    if (mount(source, target, kind, flags, data) < 0) fail(what);
}

static void unshare_mounts(unsigned long propagation) {
    if (unshare(CLONE_NEWNS) < 0) fail("unshare");
    prepare("propagation", NULL, "/", NULL, MS_REC | propagation, NULL);
}

// The overlay's own layer has to be of another file system than "/".
static void copy(const char *from, const char *to) {
    char source[PATH_MAX];
    snprintf(source, sizeof source, "%s/.", from);
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        execlp("cp", "cp", "-a", source, to, NULL);
        fail("cp");
    }
    int status;
    errno = EIO;
    if (waitpid(child, &status, 0) < 0 || status != 0) fail(from);
}

// Leaves the working directory in the new root, for `enter_root`.
static void make_root(const char *layer, const char *point) {
    char data[3 * PATH_MAX];
    unshare_mounts(MS_PRIVATE);
    prepare("tmpfs", "subreaper", point, "tmpfs", 0, "mode=755");
    if (chdir(point) < 0) fail(point);
    if (mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0 || mkdir("root", 0755) < 0) fail("directories of the root");
    copy(layer, "upper");
    snprintf(data, sizeof data, "lowerdir=/,upperdir=%s/upper,workdir=%s/work", point, point);
    prepare("overlay", "subreaper", "root", "overlay", 0, data);
    if (chdir("root") < 0) fail("root");
}

static void keep(const char *path) {
    char made[PATH_MAX];
    snprintf(made, sizeof made, "%s", path + 1);
    for (char *slash = strchr(made, '/'); ; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = 0;
        if (mkdir(made, 0755) < 0 && errno != EEXIST) fail(made);
        if (!slash) break;
        *slash = '/';
    }
    prepare(path, path, made, NULL, MS_BIND | MS_REC, NULL);
}

static void enter_root(void) {
    if (syscall(SYS_pivot_root, ".", ".") < 0) fail("pivot_root");
    if (umount2(".", MNT_DETACH) < 0) fail("the old root");
    if (chdir("/") < 0) fail("/");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        errno = EINVAL;
        fail("usage");
    }
    int report = atoi(argv[1]);
    if (fcntl(report, F_SETFD, FD_CLOEXEC) < 0) fail("report descriptor");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) fail("PR_SET_CHILD_SUBREAPER");

    int next = 2;
    int unshared = 0;
    if (next + 2 < argc && strcmp(argv[next], "--root") == 0) {
        make_root(argv[next + 1], argv[next + 2]);
        for (next += 3; next + 1 < argc && strcmp(argv[next], "--keep") == 0; next += 2) keep(argv[next + 1]);
        enter_root();
        unshared = 1;
    }
    while (next < argc && strcmp(argv[next], "--bind") == 0) {
        if (next + 2 >= argc) fail("--bind");
        if (!unshared) {
            unshare_mounts(MS_SLAVE);
            unshared = 1;
        }
        prepare(argv[next + 2], argv[next + 1], argv[next + 2], NULL, MS_BIND, NULL);
        next += 3;
    }
    if (next >= argc || strcmp(argv[next], "--") != 0) {
        errno = EINVAL;
        fail("missing --");
    }
    next++;

    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        execv(argv[next], argv + next);
        fail(argv[next]);
    }

    // The pipes of stdout and stderr must end with the command, not with us.
    int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    if (null > 2 && null != report) close(null);
    // A session that has gone must not keep us from reaping.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);

    dprintf(report, "pid %d\n", child);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return 0;
        if (pid == child) dprintf(report, "exit %d\n", status);
    }
}
