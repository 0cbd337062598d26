// A task that attacks what is around it and prints how each attempt went: "ok", the name of the error, or
// "ok:" and what it got. Linked statically, so that it needs no access of its own.
//
//   attack OPERATION SUBJECT [OPERATION SUBJECT]...
//
// Prints one line each: OPERATION, tab, SUBJECT, tab, outcome. What an operation changes (userns, unshare)
// holds for those after it.
//
// ptrace, seize, vm_read, vm_write PID     at another process's memory
// kill PID,SIGNAL  prlimit PID  setns PID   at a process
// getfd PID,FD  fds PID                     at its descriptors: one by pidfd_getfd, all through /proc
// read, write, list, link PATH[,PATH]       at a path; write puts nothing into what it opens
// put PATH,TEXT                             write TEXT to a path
// move FROM,TO  readlink PATH
// mount, bind, remount, umount, pivot       at the tree of mounts
// tree PATH,FILE  fsmount TYPE              at files through a mount that hangs nowhere
// userns, unshare KINDS                     new namespaces
// connect PATH  abstract NAME  rpc PATH     at sockets; rpc waits for HTTP/2's first frame
// shm KEY                                   System V shared memory that is there
// tty PATH  sti FD                          at terminals
// call NAME                                 a system call that only an administrator has
// run PATH  ids -                           PATH shows by "ids" as whom it runs
// end CODE  pause -                         end with this status; wait for ever
// signals PID                               every signal, one after another
#define _GNU_SOURCE
#include "list_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// <sys/mount.h> clashes with <linux/mount.h>.
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

// What an operation got, for the line about it.
static char detail[4096];

static int result(long answer) { return answer < 0 ? errno : 0; }

// Splits "A,B"; B is "" where there is no comma.
static char *second(char *subject) {
    char *comma = strchr(subject, ',');
    if (!comma) return "";
    *comma = 0;
    return comma + 1;
}

static int trace(pid_t pid, int request) {
    if (ptrace(request, pid, NULL, NULL) < 0) return errno;
    waitpid(pid, NULL, __WALL | (request == PTRACE_SEIZE ? WNOHANG : 0));
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 0;
}

// An address that is never mapped: EFAULT where the way to the memory was open.
static int reach_memory(pid_t pid, int writes) {
    char byte = 0;
    struct iovec local = {&byte, 1}, remote = {(void *)16, 1};
    long count = writes ? process_vm_writev(pid, &local, 1, &remote, 1, 0) : process_vm_readv(pid, &local, 1, &remote, 1, 0);
    return count < 0 && errno != EFAULT ? errno : 0;
}

static int pidfd_of(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static int get_descriptor(pid_t pid, int number) {
    int pidfd = pidfd_of(pid);
    if (pidfd < 0) return errno;
    int got = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    int error = result(got);
    if (got >= 0) close(got);
    close(pidfd);
    return error;
}

static int enter_namespaces(pid_t pid) {
    int pidfd = pidfd_of(pid);
    if (pidfd < 0) return errno;
    int error = result(setns(pidfd, CLONE_NEWNS));
    close(pidfd);
    return error;
}

static int limit(pid_t pid) {
    struct rlimit nothing = {0, 0};
    return result(prlimit(pid, RLIMIT_FSIZE, &nothing, NULL));
}

// Each descriptor of a process, in each direction.
static int open_descriptors(pid_t pid) {
    int first = 0;
    for (int number = 0; number < 32; number++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
        static const int ways[] = {O_RDONLY, O_WRONLY, O_RDWR};
        for (int way = 0; way < 3; way++) {
            int fd = open(path, ways[way] | O_NONBLOCK | O_CLOEXEC);
            if (fd >= 0) {
                snprintf(detail + strlen(detail), sizeof detail - strlen(detail), " %d", number);
                close(fd);
                break;
            }
            if (!first) first = errno;
        }
    }
    return detail[0] ? 0 : first;
}

static int every_signal(pid_t pid) {
    int first = 0;
    for (int number = 1; number <= 64; number++)
        if (kill(pid, number) < 0 && !first) first = errno;
    return first;
}

static int read_some(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    ssize_t count = read(fd, detail, 200);
    int error = count < 0 && errno != EAGAIN && errno != EIO ? errno : 0;
    detail[count > 0 ? count : 0] = 0;
    for (char *byte = detail; *byte; byte++)
        if (*byte == '\n' || *byte == '\t') *byte = ' ';
    close(fd);
    return error;
}

static int open_for_writing(const char *path) {
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    int error = result(fd);
    if (fd >= 0) close(fd);
    return error;
}

static int put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = result(write(fd, text, strlen(text)));
    close(fd);
    return error;
}

// A copy of a mount that hangs nowhere, and a file in it.
static int through_tree(const char *path, const char *file) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return errno;
    int fd = openat(tree, file, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
    int error = result(fd);
    if (fd >= 0) close(fd);
    close(tree);
    return error;
}

static int move_tree(const char *from, const char *to) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) return errno;
    int error = result(syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));
    close(tree);
    return error;
}

static int fresh_file_system(const char *type) {
    int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0) return errno;
    int error = result(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int root = error ? -1 : (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    if (!error) error = result(root);
    if (!error) {
        int fd = openat(root, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        error = result(fd);
        if (fd >= 0) close(fd);
    }
    if (root >= 0) close(root);
    close(context);
    return error;
}

static const struct {
    const char *name;
    int flag;
} KINDS[] = {
    {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
    {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80},
};

static int new_namespaces(char *kinds) {
    int flags = 0;
    for (char *kind = strtok(kinds, "+"); kind; kind = strtok(NULL, "+"))
        for (size_t index = 0; index < sizeof KINDS / sizeof *KINDS; index++)
            if (strcmp(kind, KINDS[index].name) == 0) flags |= KINDS[index].flag;
    return result(unshare(flags));
}

static int connect_to(int abstract, const char *name, int *connected) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length + 2 > sizeof address.sun_path) return ENAMETOOLONG;
    memcpy(address.sun_path + abstract, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    int error = result(connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length));
    if (!error && connected) *connected = fd;
    else close(fd);
    return error;
}

// A gRPC server greets with a SETTINGS frame; one that does not want this client closes.
static int greet(const char *path) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    int fd, error = connect_to(0, path, &fd);
    if (error) return error;
    char answer[256];
    ssize_t count = send(fd, preface, sizeof preface, MSG_NOSIGNAL);
    struct pollfd wait = {fd, POLLIN, 0};
    if (count > 0) count = poll(&wait, 1, 20000) == 1 ? recv(fd, answer, sizeof answer, 0) : -1;
    error = count > 0 ? 0 : count == 0 ? ECONNRESET : errno ? errno : ETIMEDOUT;
    close(fd);
    return error;
}

static int open_terminal(const char *path) {
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    int error = result(fd);
    if (fd >= 0) close(fd);
    return error;
}

static int type_into(int fd) {
    char key = ' ';
    return result(ioctl(fd, TIOCSTI, &key));
}

// Each is refused before its arguments count, and does no harm where it is not.
static int administer(const char *name) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct { unsigned int bytes; int type; char handle[8]; } handle = {8, 1, {0}};
    if (strcmp(name, "sethostname") == 0) return result(sethostname(host, strlen(host)));
    if (strcmp(name, "reboot") == 0) return result(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    if (strcmp(name, "swapon") == 0) return result(syscall(SYS_swapon, "/nonexistent", 0));
    if (strcmp(name, "acct") == 0) return result(syscall(SYS_acct, "/nonexistent"));
    if (strcmp(name, "init_module") == 0) return result(syscall(SYS_init_module, NULL, 0, ""));
    if (strcmp(name, "delete_module") == 0) return result(syscall(SYS_delete_module, "nonexistent", O_NONBLOCK));
    if (strcmp(name, "open_by_handle_at") == 0) return result(syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
    if (strcmp(name, "vhangup") == 0) return result(vhangup());
    if (strcmp(name, "chroot") == 0) return result(chroot("/"));
    if (strcmp(name, "nice") == 0) return result(setpriority(PRIO_PROCESS, 0, -5));
#ifdef SYS_iopl
    if (strcmp(name, "iopl") == 0) return result(syscall(SYS_iopl, 3));
#endif
    return ENOSYS;
}

static int run(char *path) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
        char *const arguments[] = {path, "ids", path, NULL};
        char *const environment[] = {NULL};
        execve(path, arguments, environment);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void show_identity(void) {
    uid_t real, effective, saved;
    getresuid(&real, &effective, &saved);
    char text[4096] = "", *capabilities;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[count > 0 ? count : 0] = 0;
    if (fd >= 0) close(fd);
    capabilities = strstr(text, "CapPrm:\t");
    snprintf(detail, sizeof detail, "%u %u %u %.16s", real, effective, saved, capabilities ? capabilities + 8 : "unknown");
}

static int attempt(const char *operation, char *subject) {
    pid_t pid = atoi(subject);
    if (strcmp(operation, "ptrace") == 0) return trace(pid, PTRACE_ATTACH);
    if (strcmp(operation, "seize") == 0) return trace(pid, PTRACE_SEIZE);
    if (strcmp(operation, "vm_read") == 0) return reach_memory(pid, 0);
    if (strcmp(operation, "vm_write") == 0) return reach_memory(pid, 1);
    if (strcmp(operation, "signals") == 0) return every_signal(pid);
    if (strcmp(operation, "prlimit") == 0) return limit(pid);
    if (strcmp(operation, "setns") == 0) return enter_namespaces(pid);
    if (strcmp(operation, "fds") == 0) return open_descriptors(pid);
    if (strcmp(operation, "read") == 0) return read_some(subject);
    if (strcmp(operation, "write") == 0) return open_for_writing(subject);
    if (strcmp(operation, "list") == 0) return list_directory(subject);
    if (strcmp(operation, "readlink") == 0) return result(readlink(subject, detail, sizeof detail - 1));
    if (strcmp(operation, "mount") == 0) return result(mount("tmpfs", subject, "tmpfs", 0, NULL));
    if (strcmp(operation, "umount") == 0) return result(umount2(subject, MNT_DETACH));
    if (strcmp(operation, "remount") == 0) return result(mount(NULL, subject, NULL, MS_REMOUNT | MS_BIND, NULL));
    if (strcmp(operation, "pivot") == 0) return result(syscall(SYS_pivot_root, subject, subject));
    if (strcmp(operation, "fsmount") == 0) return fresh_file_system(subject);
    if (strcmp(operation, "userns") == 0) return result(unshare(CLONE_NEWUSER | CLONE_NEWNS));
    if (strcmp(operation, "unshare") == 0) return new_namespaces(subject);
    if (strcmp(operation, "connect") == 0) return connect_to(0, subject, NULL);
    if (strcmp(operation, "abstract") == 0) return connect_to(1, subject, NULL);
    if (strcmp(operation, "rpc") == 0) return greet(subject);
    if (strcmp(operation, "shm") == 0) return result(shmget(atoi(subject), 1, 0));
    if (strcmp(operation, "tty") == 0) return open_terminal(subject);
    if (strcmp(operation, "sti") == 0) return type_into(pid);
    if (strcmp(operation, "call") == 0) return administer(subject);
    if (strcmp(operation, "run") == 0) return run(subject);
    if (strcmp(operation, "ids") == 0) return show_identity(), 0;
    if (strcmp(operation, "pause") == 0) for (;;) pause();
    if (strcmp(operation, "end") == 0) { fflush(stdout); _exit(pid); }
    char *other = second(subject);
    if (strcmp(operation, "kill") == 0) return result(kill(pid, atoi(other)));
    if (strcmp(operation, "getfd") == 0) return get_descriptor(pid, atoi(other));
    if (strcmp(operation, "link") == 0) return result(link(subject, other));
    if (strcmp(operation, "move") == 0) return result(rename(subject, other));
    if (strcmp(operation, "put") == 0) return put(subject, other);
    if (strcmp(operation, "bind") == 0) return result(mount(subject, other, NULL, MS_BIND, NULL));
    if (strcmp(operation, "move_mount") == 0) return move_tree(subject, other);
    if (strcmp(operation, "tree") == 0) return through_tree(subject, other);
    fprintf(stderr, "attack: no operation \"%s\"\n", operation);
    exit(2);
}

int main(int argc, char **argv) {
    for (int index = 1; index + 1 < argc; index += 2) {
        char subject[4096];
        snprintf(subject, sizeof subject, "%s", argv[index + 1]);
        detail[0] = 0;
        int error = attempt(argv[index], subject);
        printf("%s\t%s\t%s%s%s\n", argv[index], argv[index + 1], error ? strerrorname_np(error) : "ok",
               !error && detail[0] ? ":" : "", error ? "" : detail);
        fflush(stdout);
    }
    return 0;
}
