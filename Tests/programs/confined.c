// A task that prints its restrictions: capabilities, limits, ports, system calls. Linked statically.
//
//   confined VERB[=VALUE]...
//
// caps=                  effective, permitted, inheritable, bounding and ambient set
// limits=                soft and hard limit of every kind
// bind=PORT bind6=PORT   bind a TCP socket of 127.0.0.1 or ::1, and listen
// connect=PORT connect6=PORT
// udp=PORT               bind a UDP socket
// udpconnect=PORT        connect a UDP socket
// udpto=PORT udp6to=PORT  send a datagram from a socket without a port of its own
// unix=PATH unixgram=PATH  connect a unix socket; send a datagram to one
// serve=PATH             bind a unix socket that every user may connect to, and keep it
// fastopen=PORT mptcp=PORT  connect by MSG_FASTOPEN, by MPTCP
// family=NUMBER          make a stream socket of a family
// socket=FAMILY:TYPE:PROTOCOL  make a socket
// pair=FAMILY            make a pair of datagram sockets
// call=NAME              make a system call without an effect; see `calls`
// unshare=FLAGS          unshare(2)
// newns=FLAGS            clone(2) with these flags
// foreign=               a system call of 32-bit x86
// x32=                   a system call of the x32 ABI
// threads=COUNT          make that many threads, one after another
// forks=COUNT            make children that wait, as many as possible
// bomb=                  fork for ever, in every process
// eat=MEGABYTES          touch that much memory in a child, and print how the child ended
// files=COUNT            open files, as many as possible
// exec=                  execute itself with the rest of the arguments
// out=TEXT pause= exit=CODE
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outcome(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void show_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    uint64_t bounding = 0, ambient = 0;
    for (int number = 0; number < 64; number++) {
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) bounding |= 1ULL << number;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) == 1) ambient |= 1ULL << number;
    }
#define BOTH(field) ((unsigned long long)data[1].field << 32 | data[0].field)
    printf("caps %llx %llx %llx %llx %llx\n", BOTH(effective), BOTH(permitted), BOTH(inheritable),
           (unsigned long long)bounding, (unsigned long long)ambient);
}

static void show_limits(void) {
    for (int kind = 0; kind < 16; kind++) {
        struct rlimit limit;
        getrlimit(kind, &limit);
        printf("limit%d %lld %lld\n", kind, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
}

static struct sockaddr_storage address(int family, int port, socklen_t *length) {
    struct sockaddr_storage result = {.ss_family = family};
    if (family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&result;
        six->sin6_port = htons(port);
        six->sin6_addr = in6addr_loopback;
        *length = sizeof *six;
    } else {
        struct sockaddr_in *four = (struct sockaddr_in *)&result;
        four->sin_port = htons(port);
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *length = sizeof *four;
    }
    return result;
}

static long bind_socket(int family, int type, int port) {
    socklen_t length;
    struct sockaddr_storage to = address(family, port, &length);
    int fd = socket(family, type, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    long result = bind(fd, (struct sockaddr *)&to, length);
    if (result == 0 && type == SOCK_STREAM) result = listen(fd, 8);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static long connect_socket(int family, int protocol, int port) {
    socklen_t length;
    struct sockaddr_storage to = address(family, port, &length);
    int fd = socket(family, SOCK_STREAM, protocol);
    if (fd < 0) return -1;
    long result = connect(fd, (struct sockaddr *)&to, length);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static long close_after(int fd, long result) {
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static long connect_udp(int port) {
    socklen_t length;
    struct sockaddr_storage to = address(AF_INET, port, &length);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return close_after(fd, connect(fd, (struct sockaddr *)&to, length));
}

static long send_udp(int family, int port) {
    socklen_t length;
    struct sockaddr_storage to = address(family, port, &length);
    int fd = socket(family, SOCK_DGRAM, 0);
    return close_after(fd, sendto(fd, "x", 1, 0, (struct sockaddr *)&to, length));
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un result = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof result.sun_path) exit(2);
    strcpy(result.sun_path, path);
    return result;
}

static long connect_unix(const char *path) {
    struct sockaddr_un to = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return close_after(fd, connect(fd, (struct sockaddr *)&to, sizeof to));
}

static long send_unix(const char *path) {
    struct sockaddr_un to = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    return close_after(fd, sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
}

static long serve_unix(const char *path) {
    struct sockaddr_un at = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || chmod(path, 0666) != 0) return -1;
    return listen(fd, 8);
}

static long fast_open(int port) {
    socklen_t length;
    struct sockaddr_storage to = address(AF_INET, port, &length);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, length);
}

static long open_socket(int family) { return socket(family, SOCK_STREAM, 0); }

static long open_any_socket(const char *text) {
    int family = 0, type = 0, protocol = 0;
    if (sscanf(text, "%d:%d:%d", &family, &type, &protocol) != 3) exit(2);
    int fd = socket(family, type, protocol);
    if (fd >= 0) close(fd);
    return fd;
}

static long open_pair(int family) { return socketpair(family, SOCK_DGRAM, 0, (int[2]){0}); }

// Arguments with which the call changes nothing, and for which a kernel that permits it returns another error than EPERM,
// if possible.
static const struct {
    const char *name;
    long number, arguments[5];
} calls[] = {
    {"keyctl", SYS_keyctl, {0, -2, 0}}, // the process keyring's id, without making one
    {"add_key", SYS_add_key, {0, 0, 0, 0, 0}},
    {"request_key", SYS_request_key, {0, 0, 0, 0}},
    {"bpf", SYS_bpf, {-1, 0, 0}},
    {"perf_event_open", SYS_perf_event_open, {0, 0, -1, -1, 0}},
    {"userfaultfd", SYS_userfaultfd, {1}}, // UFFD_USER_MODE_ONLY
    {"io_uring_setup", SYS_io_uring_setup, {1, 0}},
    {"io_uring_enter", SYS_io_uring_enter, {-1, 0, 0, 0, 0}},
    {"io_uring_register", SYS_io_uring_register, {-1, 0, 0, 0}},
    {"kexec_load", SYS_kexec_load, {0, 0, 0, -1}},
    {"kexec_file_load", SYS_kexec_file_load, {-1, -1, 0, 0, -1}},
    {"init_module", SYS_init_module, {0, 0, 0}},
    {"finit_module", SYS_finit_module, {-1, 0, 0}},
    {"delete_module", SYS_delete_module, {0, 0}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}}, // without the magic numbers
    {"swapon", SYS_swapon, {0, 0}},
    {"swapoff", SYS_swapoff, {0}},
    {"acct", SYS_acct, {-1}},
    {"quotactl", SYS_quotactl, {-1, 0, 0, 0}},
    {"quotactl_fd", 443, {-1, -1, 0, 0}},
    {"settimeofday", SYS_settimeofday, {-1, 0}},
    {"clock_settime", SYS_clock_settime, {-1, 0}},
    {"lookup_dcookie", SYS_lookup_dcookie, {0, 0, 0}},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0}},
    {"mount", SYS_mount, {0, -1, 0, 0, 0}},
    {"umount2", SYS_umount2, {0, -1}},
    {"pivot_root", SYS_pivot_root, {0, 0}},
    {"fsopen", SYS_fsopen, {0, -1}},
    {"fsconfig", SYS_fsconfig, {-1, -1, 0, 0, 0}},
    {"fsmount", SYS_fsmount, {-1, -1, 0}},
    {"fspick", SYS_fspick, {-1, 0, -1}},
    {"move_mount", SYS_move_mount, {-1, 0, -1, 0, -1}},
    {"open_tree", SYS_open_tree, {-1, 0, -1}},
    {"open_tree_attr", 467, {-1, 0, -1, 0, 0}},
    {"mount_setattr", 442, {-1, 0, -1, 0, 0}},
    {"setns", SYS_setns, {-1, 0}},
    {"clone3", 435, {0, 0}},
    {"syslog", SYS_syslog, {10, 0, 0}}, // the size of the buffer
    {"vhangup", SYS_vhangup, {0}},
    {"sethostname", SYS_sethostname, {0, -1}},
    {"setdomainname", SYS_setdomainname, {0, -1}},
#ifdef __x86_64__
    {"iopl", SYS_iopl, {4}},
    {"ioperm", SYS_ioperm, {-1, -1, 1}},
    {"uselib", SYS_uselib, {0}},
#endif
};

static void make_call(const char *name) {
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++) {
        if (strcmp(calls[index].name, name) != 0) continue;
        const long *a = calls[index].arguments;
        printf("%s %s\n", name, outcome(syscall(calls[index].number, a[0], a[1], a[2], a[3], a[4])));
        return;
    }
    printf("%s unknown\n", name);
}

static void make_namespace(unsigned long flags) {
    pid_t child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    printf("newns %s\n", outcome(child));
    if (child > 0) waitpid(child, NULL, 0);
}

static void call_foreign(void) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11"); // getpid
    printf("foreign %s\n", result == getpid() ? "ok" : "wrong");
#else
    printf("foreign none\n");
#endif
}

static void *nothing(void *argument) { return argument; }

static void make_threads(long count) {
    for (long index = 0; index < count; index++) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, nothing, NULL);
        if (error) {
            printf("threads %ld %s\n", index, strerrorname_np(error));
            return;
        }
        pthread_join(thread, NULL);
    }
    printf("threads %ld ok\n", count);
}

static void make_children(long count) {
    for (long index = 0; index < count; index++) {
        pid_t child = fork();
        if (child == 0) for (;;) pause();
        if (child < 0) {
            printf("forks %ld %s\n", index, strerrorname_np(errno));
            return;
        }
    }
    printf("forks %ld ok\n", count);
}

static void eat_in_child(size_t megabytes) {
    pid_t child = fork();
    if (child == 0) {
        size_t length = megabytes << 20;
        volatile char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) _exit(9);
        for (size_t offset = 0; offset < length; offset += 4096) memory[offset] = 1;
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("eat %d %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void open_files(long count) {
    for (long index = 0; index < count; index++) {
        if (open("/dev/null", O_RDONLY) < 0) {
            printf("files %ld %s\n", index, strerrorname_np(errno));
            return;
        }
    }
    printf("files %ld ok\n", count);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int index = 1; index < argc; index++) {
        char *verb = argv[index];
        char *value = strchr(verb, '=');
        if (!value) return 2;
        if (strcmp(verb, "exec=") == 0) {
            argv[index] = argv[0];
            execv(argv[0], argv + index);
            return 3;
        }
        *value++ = 0;
        long number = strtol(value, NULL, 0);
        if (strcmp(verb, "caps") == 0) show_capabilities();
        else if (strcmp(verb, "limits") == 0) show_limits();
        else if (strcmp(verb, "bind") == 0) printf("bind%ld %s\n", number, outcome(bind_socket(AF_INET, SOCK_STREAM, number)));
        else if (strcmp(verb, "bind6") == 0) printf("bind6-%ld %s\n", number, outcome(bind_socket(AF_INET6, SOCK_STREAM, number)));
        else if (strcmp(verb, "udp") == 0) printf("udp%ld %s\n", number, outcome(bind_socket(AF_INET, SOCK_DGRAM, number)));
        else if (strcmp(verb, "udpconnect") == 0) printf("udpconnect%ld %s\n", number, outcome(connect_udp(number)));
        else if (strcmp(verb, "udpto") == 0) printf("udpto%ld %s\n", number, outcome(send_udp(AF_INET, number)));
        else if (strcmp(verb, "udp6to") == 0) printf("udp6to%ld %s\n", number, outcome(send_udp(AF_INET6, number)));
        else if (strcmp(verb, "unix") == 0) printf("unix:%s %s\n", value, outcome(connect_unix(value)));
        else if (strcmp(verb, "unixgram") == 0) printf("unixgram:%s %s\n", value, outcome(send_unix(value)));
        else if (strcmp(verb, "serve") == 0) printf("serve %s\n", outcome(serve_unix(value)));
        else if (strcmp(verb, "connect") == 0) printf("connect%ld %s\n", number, outcome(connect_socket(AF_INET, 0, number)));
        else if (strcmp(verb, "connect6") == 0) printf("connect6-%ld %s\n", number, outcome(connect_socket(AF_INET6, 0, number)));
        else if (strcmp(verb, "mptcp") == 0) printf("mptcp%ld %s\n", number, outcome(connect_socket(AF_INET, 262, number)));
        else if (strcmp(verb, "fastopen") == 0) printf("fastopen%ld %s\n", number, outcome(fast_open(number)));
        else if (strcmp(verb, "family") == 0) printf("family%ld %s\n", number, outcome(open_socket(number)));
        else if (strcmp(verb, "socket") == 0) printf("socket%s %s\n", value, outcome(open_any_socket(value)));
        else if (strcmp(verb, "pair") == 0) printf("pair%ld %s\n", number, outcome(open_pair(number)));
        else if (strcmp(verb, "call") == 0) make_call(value);
        else if (strcmp(verb, "unshare") == 0) printf("unshare %s\n", outcome(unshare(number)));
        else if (strcmp(verb, "newns") == 0) make_namespace(number);
        else if (strcmp(verb, "foreign") == 0) call_foreign();
        else if (strcmp(verb, "x32") == 0) printf("x32 %s\n", outcome(syscall(0x40000000 + SYS_getpid)));
        else if (strcmp(verb, "threads") == 0) make_threads(number);
        else if (strcmp(verb, "forks") == 0) make_children(number);
        else if (strcmp(verb, "bomb") == 0) for (;;) fork();
        else if (strcmp(verb, "eat") == 0) eat_in_child(number);
        else if (strcmp(verb, "files") == 0) open_files(number);
        else if (strcmp(verb, "out") == 0) printf("%s\n", value);
        else if (strcmp(verb, "pause") == 0) for (;;) pause();
        else if (strcmp(verb, "exit") == 0) { fflush(NULL); _exit(number); }
        else return 2;
    }
    return 0;
}
