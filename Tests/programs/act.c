// A task that does what its arguments say, one after another. Linked statically.
//
//   act VERB[=VALUE]...
//
// out=TEXT err=TEXT      print a line
// sleep=MILLISECONDS     pause=  waits for ever
// exit=CODE raise=SIGNAL end
// ignore=SIGNAL          ignore it from here on
// env= args= cwd= ids=   print: environment, arguments, directory, uid gid and groups
// fds= nnp= pids=        open descriptors, no_new_privs, processes in /proc
// links=                 network links
// socket=NAME            connect to an abstract unix socket
// memory=MEGABYTES       touch that much and keep it
// busy=MILLISECONDS      burn a processor
// append=PATH            write a line to the end of a file
// block=SIGNAL await=    hold a signal back; wait until it has come
// lines=COUNT            go on writing numbered lines of 64 bytes, to stdout and to stderr
// tree=DEPTH sessions=N  leave children that never end: a binary tree, sessions deaf to SIGTERM
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void show_identity(void) {
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;
    getresuid(&real, &effective, &saved);
    getresgid(&real_group, &effective_group, &saved_group);
    printf("uid %u %u %u\ngid %u %u %u\ngroups", real, effective, saved, real_group, effective_group, saved_group);
    gid_t groups[1024];
    int count = getgroups(1024, groups);
    for (int index = 0; index < count; index++) printf(" %u", groups[index]);
    printf("\n");
}

static void show_descriptors(void) {
    printf("fds");
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
    printf("\n");
}

static void show_processes(void) {
    DIR *directory = opendir("/proc");
    if (!directory) {
        printf("pids %s\n", strerrorname_np(errno));
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        char path[300], name[64] = "";
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t length = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
        if (length > 0) name[length - 1] = 0;
        if (fd >= 0) close(fd);
        printf("process %s %s\n", entry->d_name, name);
    }
    closedir(directory);
}

static void show_links(void) {
    struct if_nameindex *links = if_nameindex();
    printf("links");
    for (struct if_nameindex *link = links; link && link->if_index; link++) printf(" %s", link->if_name);
    printf("\n");
}

static void connect_abstract(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int failed = connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length) < 0;
    printf("socket %s\n", failed ? strerrorname_np(errno) : "ok");
    close(fd);
}

static void touch_memory(size_t megabytes) {
    size_t length = megabytes << 20;
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        printf("memory %s\n", strerrorname_np(errno));
        return;
    }
    for (size_t offset = 0; offset < length; offset += 4096) memory[offset] = 1;
    printf("memory ok\n");
}

static void burn(long milliseconds) {
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += milliseconds % 1000 * 1000000;
    end.tv_sec += milliseconds / 1000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    do {
        for (volatile int spin = 0; spin < 100000; spin++) {}
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

static void append(const char *path) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    int failed = fd < 0 || write(fd, "ran\n", 4) != 4;
    if (failed) printf("append %s\n", strerrorname_np(errno));
    if (fd >= 0) close(fd);
}

static sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void block(int number) {
    sigset_t set = only(number);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void await(int number) {
    sigset_t set = only(number);
    while (sigwaitinfo(&set, NULL) != number) {}
}

static void put(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written <= 0) _exit(125);
        bytes += written;
        length -= written;
    }
}

static void write_lines(long count) {
    enum { width = 64, maximum = 512 };
    static char block[width * maximum + 1];
    static unsigned long number;
    for (long left = count; left > 0;) {
        long now = left < maximum ? left : maximum;
        for (long line = 0; line < now; line++) snprintf(block + line * width, width + 1, "%063lu\n", number++);
        put(1, block, width * now);
        put(2, block, width * now);
        left -= now;
    }
}

static void grow(int depth) {
    for (int child = 0; depth > 0 && child < 2; child++) {
        if (fork() != 0) continue;
        grow(depth - 1);
        for (;;) pause();
    }
}

static void leave_sessions(int count) {
    for (int child = 0; child < count; child++) {
        if (fork() != 0) continue;
        setsid();
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        if (fork() != 0) _exit(0);
        for (;;) pause();
    }
}

int main(int argc, char **argv) {
    // Tasks that kill themselves with a core-dumping signal leave no core.
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int index = 1; index < argc; index++) {
        char *verb = argv[index];
        char *value = strchr(verb, '=');
        if (!value) {
            fprintf(stderr, "act: \"%s\" has no =\n", verb);
            return 2;
        }
        *value++ = 0;
        long number = atol(value);
        if (strcmp(verb, "out") == 0) printf("%s\n", value);
        else if (strcmp(verb, "err") == 0) fprintf(stderr, "%s\n", value);
        else if (strcmp(verb, "sleep") == 0) usleep(number * 1000);
        else if (strcmp(verb, "pause") == 0) for (;;) pause();
        else if (strcmp(verb, "exit") == 0) { fflush(NULL); _exit(number); }
        else if (strcmp(verb, "raise") == 0) { fflush(NULL); kill(getpid(), number); pause(); }
        else if (strcmp(verb, "ignore") == 0) signal(number, SIG_IGN);
        else if (strcmp(verb, "env") == 0) for (char **entry = environ; *entry; entry++) printf("%s\n", *entry);
        else if (strcmp(verb, "args") == 0) for (int other = 1; other < argc; other++) printf("arg %s\n", argv[other]);
        else if (strcmp(verb, "cwd") == 0) { char path[4096]; printf("cwd %s\n", getcwd(path, sizeof path) ? path : strerrorname_np(errno)); }
        else if (strcmp(verb, "ids") == 0) show_identity();
        else if (strcmp(verb, "fds") == 0) show_descriptors();
        else if (strcmp(verb, "nnp") == 0) printf("nnp %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        else if (strcmp(verb, "pids") == 0) show_processes();
        else if (strcmp(verb, "links") == 0) show_links();
        else if (strcmp(verb, "socket") == 0) connect_abstract(value);
        else if (strcmp(verb, "memory") == 0) touch_memory(number);
        else if (strcmp(verb, "busy") == 0) burn(number);
        else if (strcmp(verb, "append") == 0) append(value);
        else if (strcmp(verb, "block") == 0) block(number);
        else if (strcmp(verb, "await") == 0) await(number);
        else if (strcmp(verb, "lines") == 0) write_lines(number);
        else if (strcmp(verb, "tree") == 0) grow(number);
        else if (strcmp(verb, "sessions") == 0) leave_sessions(number);
        else { fprintf(stderr, "act: no verb \"%s\"\n", verb); return 2; }
    }
    return 0;
}
