// Starts children that try to leave the task: its process group, its session,
// or their parent. Linked statically.
//
//   offspring KIND... [-- SECONDS]
//
// KIND: "group" (own process group), "session" (setsid), "daemon" (fork, setsid,
// fork), "ignore" (ignores every signal that it can), "slow" (ends 300 ms after
// SIGINT or SIGTERM), "storm" (forks again and again). Each child prints
// "child KIND"; the main process then waits for SIGINT or SIGTERM, or ends by
// itself after SECONDS, without waiting for a child.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int number) {
    (void)number;
    ended = 1;
}

static void rest(long milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
}

static void stay(void) {
    for (;;) pause();
}

static void live(const char *kind) {
    if (strcmp(kind, "group") == 0) setpgid(0, 0);
    if (strcmp(kind, "session") == 0) setsid();
    if (strcmp(kind, "daemon") == 0) {
        setsid();
        if (fork() != 0) _exit(0);
    }
    if (strcmp(kind, "ignore") == 0)
        for (int number = 1; number < NSIG; number++) signal(number, SIG_IGN);
    if (strcmp(kind, "slow") == 0) {
        signal(SIGINT, end);
        signal(SIGTERM, end);
    }
    printf("child %s\n", kind);
    fflush(stdout);
    if (strcmp(kind, "slow") == 0) {
        while (!ended) rest(10);
        rest(300);
        _exit(0);
    }
    if (strcmp(kind, "storm") == 0) {
        // Ever new processes that live briefly: a kill that is not atomic
        // misses one.
        for (;;) {
            if (fork() == 0) {
                setsid();
                rest(1);
            } else {
                rest(5);
                _exit(0);
            }
        }
    }
    stay();
}

int main(int argc, char **argv) {
    long seconds = -1;
    signal(SIGINT, end);
    signal(SIGTERM, end);
    for (int index = 1; index < argc; index++) {
        if (strcmp(argv[index], "--") == 0) {
            seconds = index + 1 < argc ? atol(argv[index + 1]) : 0;
            break;
        }
        if (fork() == 0) {
            signal(SIGINT, SIG_DFL);
            signal(SIGTERM, SIG_DFL);
            live(argv[index]);
        }
    }
    printf("main\n");
    fflush(stdout);
    for (long waited = 0; !ended && (seconds < 0 || waited < seconds * 100); waited++) rest(10);
    return 0;
}
