// Tries what it is told on paths and prints how each went: "ok" or the name of
// the error. Linked statically, so that it needs no access of its own.
//
//   access OPERATION PATH [OPERATION PATH]...
//
// Prints one line each: OPERATION, tab, PATH, tab, outcome.
#define _GNU_SOURCE
#include "list_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int read_one(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    char byte;
    int error = read(fd, &byte, 1) < 0 && errno != EAGAIN ? errno : 0;
    close(fd);
    return error;
}

static int write_one(const char *path) {
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    struct stat facts;
    int error = 0;
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && write(fd, "w", 1) != 1) error = errno;
    close(fd);
    return error;
}

// Executes PATH up to its first instruction: traced, it stops there and is
// killed, so that any program can be tried without harm.
static int execute(const char *path) {
    int pipefd[2];
    if (pipe2(pipefd, O_CLOEXEC) < 0) return errno;
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
        char *const arguments[] = {(char *)path, NULL};
        char *const environment[] = {NULL};
        int error = 0;
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) error = ENOTRECOVERABLE;
        else {
            execve(path, arguments, environment);
            error = errno;
        }
        ssize_t written = write(pipefd[1], &error, sizeof error);
        _exit(written == sizeof error ? 1 : 2);
    }
    close(pipefd[1]);
    int error = 0;
    if (read(pipefd[0], &error, sizeof error) != sizeof error) error = 0;
    close(pipefd[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, __WALL);
    return error;
}

// TCGETS: ENOTTY where the call reached the device's driver.
static int control(const char *path) {
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    struct termios settings;
    int error = ioctl(fd, TCGETS, &settings) < 0 ? errno : 0;
    close(fd);
    return error;
}

static int make_node(const char *path, mode_t mode, dev_t device) {
    return mknod(path, mode, device) < 0 ? errno : 0;
}

static int rename_beside(const char *path) {
    char to[4096];
    snprintf(to, sizeof to, "%s.renamed", path);
    return rename(path, to) < 0 ? errno : 0;
}

// PATH is FROM,TO.
static int move(const char *path, int hard_link) {
    char from[4096];
    snprintf(from, sizeof from, "%s", path);
    char *to = strchr(from, ',');
    if (!to) return EINVAL;
    *to++ = 0;
    return (hard_link ? link(from, to) : rename(from, to)) < 0 ? errno : 0;
}

static int attempt(const char *operation, const char *path) {
    if (strcmp(operation, "read") == 0) return read_one(path);
    if (strcmp(operation, "readdir") == 0) return list_directory(path);
    if (strcmp(operation, "write") == 0) return write_one(path);
    if (strcmp(operation, "truncate") == 0) return truncate(path, 0) < 0 ? errno : 0;
    if (strcmp(operation, "exec") == 0) return execute(path);
    if (strcmp(operation, "ioctl") == 0) return control(path);
    if (strcmp(operation, "mkfile") == 0) return make_node(path, S_IFREG | 0600, 0);
    if (strcmp(operation, "mkdir") == 0) return mkdir(path, 0700) < 0 ? errno : 0;
    if (strcmp(operation, "symlink") == 0) return symlink("target", path) < 0 ? errno : 0;
    if (strcmp(operation, "fifo") == 0) return make_node(path, S_IFIFO | 0600, 0);
    if (strcmp(operation, "sock") == 0) return make_node(path, S_IFSOCK | 0600, 0);
    if (strcmp(operation, "char") == 0) return make_node(path, S_IFCHR | 0600, makedev(1, 3));
    if (strcmp(operation, "block") == 0) return make_node(path, S_IFBLK | 0600, makedev(7, 0));
    if (strcmp(operation, "unlink") == 0) return unlink(path) < 0 ? errno : 0;
    if (strcmp(operation, "rmdir") == 0) return rmdir(path) < 0 ? errno : 0;
    if (strcmp(operation, "rename") == 0) return rename_beside(path);
    if (strcmp(operation, "move") == 0) return move(path, 0);
    if (strcmp(operation, "link") == 0) return move(path, 1);
    fprintf(stderr, "access: no operation \"%s\"\n", operation);
    exit(2);
}

int main(int argc, char **argv) {
    for (int index = 1; index + 1 < argc; index += 2) {
        int error = attempt(argv[index], argv[index + 1]);
        printf("%s\t%s\t%s\n", argv[index], argv[index + 1], error ? strerrorname_np(error) : "ok");
    }
    return 0;
}
