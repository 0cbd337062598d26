// Records every signal that it gets; none ends it.
//
//   recorder [CHILDREN]
//
// Prints "ready NAME" once it listens and "NAME NUMBER" for each signal, where
// NAME is "main" or "child1", "child2"…; the children are of the same process
// group. Ends with code 0 when a line "end" cannot be written any more, and never
// otherwise. Linked statically.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int say(const char *text) {
    return write(1, text, strlen(text)) < 0;
}

int main(int argc, char **argv) {
    char name[32] = "main";
    sigset_t all, previous;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &previous);

    // Signals that were inherited as blocked or ignored are reported too.
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        char line[64];
        if (sigismember(&previous, number) == 1) {
            snprintf(line, sizeof line, "blocked %d\n", number);
            say(line);
        }
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            snprintf(line, sizeof line, "ignored %d\n", number);
            say(line);
        }
    }

    int children = argc > 1 ? atoi(argv[1]) : 0;
    for (int child = 1; child <= children; child++) {
        if (fork() == 0) {
            snprintf(name, sizeof name, "child%d", child);
            break;
        }
    }

    char line[64];
    snprintf(line, sizeof line, "ready %s\n", name);
    if (say(line)) return 0;
    for (;;) {
        siginfo_t info;
        int number = sigwaitinfo(&all, &info);
        if (number < 0) continue;
        snprintf(line, sizeof line, "%s %d\n", name, number);
        if (say(line)) return 0;
    }
}
