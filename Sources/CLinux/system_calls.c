#define _GNU_SOURCE
#include "system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP2_MAGIC 0x63677270
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

const int EXEC2_O_PATH = O_PATH;
const uint64_t EXEC2_CLONE_FILES = CLONE_FILES, EXEC2_CLOSE_RANGE_UNSHARE = CLOSE_RANGE_UNSHARE;
const uint64_t EXEC2_CLONE_NEWNS = CLONE_NEWNS, EXEC2_CLONE_NEWIPC = CLONE_NEWIPC, EXEC2_CLONE_NEWPID = CLONE_NEWPID,
               EXEC2_CLONE_NEWNET = CLONE_NEWNET;
const uint32_t EXEC2_EPOLLIN = EPOLLIN, EXEC2_EPOLLIN_ONCE = EPOLLIN | EPOLLONESHOT,
               EXEC2_EPOLL_CHANGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

int exec2_open(const char *path, int flags, mode_t mode) { return exec2_openat(AT_FDCWD, path, flags, mode); }

int exec2_openat(int directory, const char *path, int flags, mode_t mode) {
    int result;
    do result = openat(directory, path, flags, mode);
    while (result < 0 && errno == EINTR);
    return result;
}

static int open_resolving(int directory, const char *path, int flags, uint64_t resolve) {
    struct open_how how = {.flags = (uint64_t)(unsigned)flags, .resolve = resolve};
    int result;
    do result = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    while (result < 0 && errno == EINTR);
    return result;
}

int exec2_open_no_symlinks(int directory, const char *path, int flags, int beneath) {
    return open_resolving(directory, path, flags, RESOLVE_NO_SYMLINKS | (beneath ? RESOLVE_BENEATH : 0));
}

int exec2_open_no_magic_links(const char *path) {
    return open_resolving(AT_FDCWD, path, O_PATH | O_CLOEXEC, RESOLVE_NO_MAGICLINKS);
}

int exec2_open_in_root(int root, const char *path) {
    return open_resolving(root, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int exec2_open_in_proc(const char *path) {
    int proc = exec2_open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (proc < 0) return -1;
    int found = open_resolving(
        proc, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
    int error = errno;
    close(proc);
    errno = error;
    return found;
}

int exec2_pipe2(int descriptors[2], int flags) { return pipe2(descriptors, flags); }

int exec2_replace_descriptor(int descriptor, int number) { return dup3(descriptor, number, O_CLOEXEC); }

int exec2_unshare_descriptors(unsigned first) { return close_range(first, ~0U, CLOSE_RANGE_UNSHARE); }

int exec2_duplicate(int descriptor, int minimum) { return fcntl(descriptor, F_DUPFD_CLOEXEC, minimum); }

int exec2_end_with_writer(int pipe) {
    int flags = fcntl(pipe, F_GETFL);
    if (flags < 0 || fcntl(pipe, F_SETOWN, getpid()) < 0) return -1;
    return fcntl(pipe, F_SETFL, flags | O_ASYNC);
}

int exec2_is_unwritable(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;
}

int exec2_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int exec2_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int exec2_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int exec2_has_children(void) {
    siginfo_t information;
    return waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 || errno != ECHILD;
}

int exec2_pidfd_reap(int pidfd, int *exit_status, int *signal) {
    siginfo_t facts = {0};
    int result;
    do result = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &facts, WEXITED | WNOHANG);
    while (result < 0 && errno == EINTR);
    *exit_status = *signal = -1;
    if (result < 0) return errno == ECHILD ? -1 : 0;
    if (facts.si_pid == 0) return 0;
    *(facts.si_code == CLD_EXITED ? exit_status : signal) = facts.si_status;
    return 1;
}

int exec2_signalfd(int signal) { return exec2_signalfd_of(1ULL << (signal - 1)); }

int exec2_signalfd_of(uint64_t signals) {
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number <= 64; number++)
        if (signals >> (number - 1) & 1) sigaddset(&set, number);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int exec2_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

int exec2_timerfd_set(int timer, uint64_t nanoseconds) {
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)},
    };
    return timerfd_settime(timer, 0, &when, NULL);
}

int exec2_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int exec2_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int exec2_epoll_remove(int epoll, int descriptor) { return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL); }

int exec2_epoll_wait(int epoll, struct exec2_ready *ready, int capacity, int milliseconds) {
    struct epoll_event events[64];
    if (capacity > 64) capacity = 64;
    int count = epoll_wait(epoll, events, capacity, milliseconds);
    for (int index = 0; index < count; index++) {
        ready[index].events = events[index].events;
        ready[index].token = events[index].data.u64;
    }
    return count;
}

int exec2_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static enum exec2_file_type type_of(uint32_t mode) {
    return S_ISREG(mode)    ? EXEC2_FILE_REGULAR
           : S_ISDIR(mode)  ? EXEC2_FILE_DIRECTORY
           : S_ISFIFO(mode) ? EXEC2_FILE_FIFO
           : S_ISCHR(mode)  ? EXEC2_FILE_CHARACTER
           : S_ISBLK(mode)  ? EXEC2_FILE_BLOCK
           : S_ISLNK(mode)  ? EXEC2_FILE_SYMLINK
                            : EXEC2_FILE_OTHER;
}

int exec2_fstat(int descriptor, struct exec2_file_facts *facts) {
    struct stat status;
    if (fstat(descriptor, &status) < 0) return -1;
    *facts = (struct exec2_file_facts){
        .type = type_of(status.st_mode),
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = (uint64_t)status.st_size,
        .special_device = status.st_rdev,
        .owner = status.st_uid,
        .group = status.st_gid,
        .mode = status.st_mode & 07777,
    };
    return 0;
}

int exec2_fstat_known(int descriptor, struct exec2_file_facts *facts) {
    struct statx status;
    int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (statx(descriptor, "", flags, STATX_BASIC_STATS, &status) < 0) return -1;
    *facts = (struct exec2_file_facts){
        .type = type_of(status.stx_mode),
        .device = makedev(status.stx_dev_major, status.stx_dev_minor),
        .inode = status.stx_ino,
        .size = status.stx_size,
        .special_device = makedev(status.stx_rdev_major, status.stx_rdev_minor),
        .owner = status.stx_uid,
        .group = status.stx_gid,
        .mode = status.stx_mode & 07777,
    };
    return 0;
}

int exec2_is_cgroup2(int descriptor) {
    struct statfs facts;
    if (fstatfs(descriptor, &facts) < 0) return -1;
    return facts.f_type == CGROUP2_MAGIC;
}

int exec2_lock(int descriptor) {
    int result;
    do result = flock(descriptor, LOCK_EX | LOCK_NB);
    while (result < 0 && errno == EINTR);
    return result;
}

int exec2_reserve(int descriptor, uint64_t bytes) {
    int result;
    do result = fallocate(descriptor, 0, 0, (off_t)bytes);
    while (result < 0 && errno == EINTR);
    return result;
}

int exec2_landlock_create(const struct exec2_landlock_ruleset *ruleset) {
    // handled_access_fs (ABI 1), handled_access_net (4), scoped (6), quiet_* (10). A kernel takes the struct at its
    // older, shorter sizes too, and an older kernel takes no longer one than its own.
    int quiet = ruleset->quiet_rights || ruleset->quiet_network || ruleset->quiet_scoped;
    size_t fields = quiet ? 6 : ruleset->scoped ? 3 : ruleset->handled_network ? 2 : 1;
    return (int)syscall(SYS_landlock_create_ruleset, ruleset, fields * sizeof(uint64_t), 0);
}

int exec2_landlock_add_port(int ruleset, uint16_t port, uint64_t rights) {
    struct {
        uint64_t rights, port;
    } rule = {rights, port};
    return (int)syscall(SYS_landlock_add_rule, ruleset, 2, &rule, 0);
}

int exec2_landlock_add_path(int ruleset, int path, uint64_t rights) {
    struct {
        uint64_t rights;
        int32_t path;
    } __attribute__((packed)) rule = {rights, path};
    return (int)syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
}

void exec2_wait_status(int status, int *exit_code, int *signal) {
    *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int exec2_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int exec2_socket_peer(int socket, uid_t *user) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -1;
    *user = peer.uid;
    int pidfd;
    length = sizeof pidfd;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) return pidfd;
    return errno == ENOPROTOOPT ? exec2_pidfd_open(peer.pid) : -1;
}

void exec2_use_one_heap(void) {
    mallopt(M_ARENA_MAX, 1);
}

void exec2_trim_heap(void) { malloc_trim(0); }

int exec2_harden_process(gid_t strange_group) {
    return prctl(PR_SET_DUMPABLE, 0) < 0 || setresgid((gid_t)-1, (gid_t)-1, strange_group) < 0 ? -1 : 0;
}

uint64_t exec2_bounding_set(void) {
    uint64_t set = 0;
    for (int capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) set |= 1ULL << capability;
    return set;
}

int exec2_set_process_name(const char *name) { return prctl(PR_SET_NAME, name); }

int exec2_unshare_ipc(void) { return unshare(CLONE_NEWIPC); }

int exec2_block_signals(void) {
    sigset_t all;
    sigfillset(&all);
    return sigprocmask(SIG_SETMASK, &all, NULL);
}

int exec2_signal_realtime_minimum(void) { return SIGRTMIN; }
int exec2_signal_realtime_maximum(void) { return SIGRTMAX; }

int exec2_errno(void) { return errno; }

static uint64_t nanoseconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t exec2_realtime(void) { return nanoseconds_of(CLOCK_REALTIME); }
uint64_t exec2_monotonic(void) { return nanoseconds_of(CLOCK_MONOTONIC); }
uint64_t exec2_boottime(void) { return nanoseconds_of(CLOCK_BOOTTIME); }
