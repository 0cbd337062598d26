// Spawns programs for the benchmarks and reports times. It is small and has one thread, so that the time
// of a posix_spawn does not depend on the size of the benchmark itself.
//
//   spawn [CGROUP2]     CGROUP2 is mounted at /sys/fs/cgroup, in a mount namespace of its own: peers
//                       expect it there, and hosts with version 1 have version 2 elsewhere
//
// Requests come on stdin: a letter, the number of arguments and each argument's length, all of 32 bits,
// and the arguments. Answers go to stdout: three times of CLOCK_MONOTONIC in nanoseconds and a number, all
// of 64 bits.
//
//   r   runs a program to its end: spawned, what it wrote to stdout as its first eight bytes, its end was
//       seen; its wait status
//   l   runs a program until it has written a line: spawned, line was there, ended after SIGTERM; its
//       wait status
//   b   leaves a program running, which has written eight bytes or closed stdout: its pid
//
// Orphans of what it runs become its children and are reaped.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what) {
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
    exit(125);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// False at the end of stdin.
static int read_all(void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = read(0, (char *)bytes + done, count - done);
        if (got < 0) fail("read");
        if (got == 0) return 0;
        done += (size_t)got;
    }
    return 1;
}

static char **read_arguments(void) {
    uint32_t count, length;
    if (!read_all(&count, sizeof count) || count == 0 || count > 4096) exit(125);
    char **arguments = calloc(count + 1, sizeof *arguments);
    if (!arguments) fail("calloc");
    for (uint32_t index = 0; index < count; index++) {
        if (!read_all(&length, sizeof length) || length > 1 << 20) exit(125);
        arguments[index] = calloc(length + 1, 1);
        if (!arguments[index]) fail("calloc");
        if (!read_all(arguments[index], length)) exit(125);
    }
    return arguments;
}

// Returns the first eight bytes; with `line` reads up to the end of a line and returns nothing.
static uint64_t first_output(int output, int line) {
    uint64_t moment = 0;
    size_t done = 0;
    char byte;
    for (;;) {
        ssize_t got = line ? read(output, &byte, 1) : read(output, (char *)&moment + done, sizeof moment - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        if (line && byte == '\n') return now();
        done += (size_t)got;
        if (!line && done == sizeof moment) return moment;
    }
}

static void perform(char kind, char **arguments) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) fail("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);

    uint64_t answer[4] = {now()};
    pid_t pid;
    int error = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    close(ends[1]);
    posix_spawn_file_actions_destroy(&actions);
    int status = -1;
    if (error) {
        fprintf(stderr, "spawn: %s: %s\n", arguments[0], strerror(error));
    } else {
        answer[1] = first_output(ends[0], kind == 'l');
        if (kind == 'l') kill(pid, SIGTERM);
        if (kind == 'b') {
            status = pid;
        } else {
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
            answer[2] = now();
        }
    }
    close(ends[0]);
    answer[3] = (uint64_t)(int64_t)status;
    if (write(1, answer, sizeof answer) != sizeof answer) fail("write");
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

int main(int argument_count, char **arguments) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) fail("prctl");
    if (argument_count > 1) {
        if (unshare(CLONE_NEWNS) < 0) fail("unshare");
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("make mounts private");
        if (mount(arguments[1], "/sys/fs/cgroup", NULL, MS_BIND, NULL) < 0) fail("mount cgroup v2");
    }
    char kind;
    while (read_all(&kind, 1)) {
        char **program = read_arguments();
        perform(kind, program);
        for (char **argument = program; *argument; argument++) free(*argument);
        free(program);
    }
    return 0;
}
