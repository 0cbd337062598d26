// A task that uses up a resource, or resists being ended. Linked statically.
//
//   bomb KIND[=NUMBER]...
//
// deaf=       ignore and block every signal for which that is possible
// forks=N     processes in sessions of their own that fork until there were N
// threads=N   N threads that never end
// files=      open descriptors until the limit
// memory=MB   touch that much memory, in two children too
// output=     write to stdout for ever
// freeze=PATH write 1 to the file cgroup.freeze at PATH
// stop=       SIGSTOP to itself, and again after each SIGCONT
// pause=      wait for ever
//
// Each prints "armed KIND" once it has begun (output= to stderr).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void stay_deaf(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int number = 1; number <= 64; number++) signal(number, SIG_IGN);
}

// All processes share the count, so that the bomb ends without a limit too.
static void fork_on(long maximum) {
    long *count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED) return;
    stay_deaf();
    if (fork() != 0) {
        while (__atomic_load_n(count, __ATOMIC_RELAXED) < maximum && usleep(1000) == 0) {}
        return;
    }
    while (__atomic_fetch_add(count, 1, __ATOMIC_RELAXED) < maximum) {
        if (fork() == 0) setsid();
        // At the limit of processes, retry after a moment.
        if (errno == EAGAIN) usleep(1000);
    }
    for (;;) pause();
}

static void *wait_for_ever(void *unused) {
    (void)unused;
    for (;;) pause();
    return NULL;
}

static long threads(long maximum) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    pthread_t thread;
    long made = 0;
    while (made < maximum && pthread_create(&thread, &small, wait_for_ever, NULL) == 0) made++;
    return made;
}

static long files(void) {
    long opened = 0;
    while (dup(0) >= 0) opened++;
    return opened;
}

static void take_memory(size_t megabytes) {
    for (int child = 0; child < 2; child++)
        if (fork() == 0) break;
    char *memory = mmap(NULL, megabytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    for (size_t offset = 0; offset < megabytes << 20; offset += 4096) memory[offset] = 1;
}

static int put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return error;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    static char block[65536];
    for (int index = 1; index < argc; index++) {
        char *kind = argv[index], *value = strchr(kind, '=');
        if (!value) return 2;
        *value++ = 0;
        long number = atol(value);
        if (strcmp(kind, "deaf") == 0) stay_deaf();
        else if (strcmp(kind, "forks") == 0) fork_on(number);
        else if (strcmp(kind, "threads") == 0) number = threads(number);
        else if (strcmp(kind, "files") == 0) number = files();
        else if (strcmp(kind, "memory") == 0) take_memory(number);
        else if (strcmp(kind, "output") == 0) {
            fprintf(stderr, "armed output\n");
            while (write(1, block, sizeof block) >= 0 || errno == EAGAIN || errno == EINTR) {}
        } else if (strcmp(kind, "freeze") == 0) {
            // Printed before: a frozen process prints nothing.
            printf("armed freeze\n");
            int error = put(value, "1");
            printf("freeze %s\n", error ? strerrorname_np(error) : "ok");
        } else if (strcmp(kind, "stop") == 0) {
            printf("armed stop\n");
            for (;;) raise(SIGSTOP);
        } else if (strcmp(kind, "pause") == 0) for (;;) pause();
        else { fprintf(stderr, "bomb: no kind \"%s\"\n", kind); return 2; }
        printf("armed %s %ld\n", kind, number);
    }
    for (;;) pause();
}
