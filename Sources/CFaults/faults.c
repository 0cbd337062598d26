// See include/faults.h. The linker sends every call of function F in the program's own objects here, as
// __wrap_F (--wrap, ld(1)); what libraries call is not diverted, since libc, gRPC and Swift's runtime are
// shared libraries in this build (the Executor's libc is not, and calls its own functions by inner names).
//
// Which call fails stands in a file that both programs map and the test writes: see `control`, whose twin
// is Tests/conformance/agent/faults.py. Without EXEC2_FAULT_CONTROL nothing ever fails.
#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRIVER, EXECUTOR, ROLES };
// The numbers of system calls, for those that go by number, and behind them the functions of libc.
enum { FUNCTIONS = 512, SLOTS = 640, NAME_SIZE = 24 };

struct control {
    uint32_t armed;           // 0: calls are neither counted nor made to fail
    uint32_t role, slot, nth; // the call that fails: the nth of its slot; 0: none
    int32_t error;            // its errno
    uint32_t lasting;         // it and all that follow
    uint32_t fired;           // how many have failed
    uint32_t reserved;
    char names[SLOTS][NAME_SIZE];
    uint32_t counts[ROLES][SLOTS];
};

static struct control *control;
static uint32_t role;
static char location[512] = "EXEC2_FAULT_CONTROL=";
static char *executor_environment[] = {location, "EXEC2_FAULT_ROLE=executor", NULL};

static int fails(uint32_t slot) {
    if (!control || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return 0;
    uint32_t count = __atomic_add_fetch(&control->counts[role][slot], 1, __ATOMIC_RELAXED);
    if (control->role != role || control->slot != slot || control->nth == 0) return 0;
    if (control->lasting ? count < control->nth : count != control->nth) return 0;
    __atomic_add_fetch(&control->fired, 1, __ATOMIC_RELAXED);
    return control->error;
}

long exec2_fault_raw(long number) {
    // What the kernel cannot refuse, and what tells of a failure.
    if (number == SYS_exit_group || number == SYS_clock_gettime || number == SYS_rt_sigprocmask) return 0;
    return number >= 0 && number < FUNCTIONS ? -(long)fails((uint32_t)number) : 0;
}

long exec2_fault_environment(long environment) {
    return control && role == DRIVER ? (long)executor_environment : environment;
}

// One line for each function: its number, its name, and how it says that it has failed.
#define FAILS(name) fails(FUNCTIONS + NUMBER_##name)
#define DIVERT(result, name, parameters, arguments) \
    DIVERT_TO(result, name, parameters, arguments, (errno = error, (result)-1))
#define DIVERT_POINTER(result, name, parameters, arguments) \
    DIVERT_TO(result, name, parameters, arguments, (errno = error, (result)0))
#define DIVERT_ERROR(name, parameters, arguments) DIVERT_TO(int, name, parameters, arguments, error)
#define DIVERT_TO(result, name, parameters, arguments, failure) \
    result __real_##name parameters; \
    result __wrap_##name parameters; \
    result __wrap_##name parameters { \
        int error = FAILS(name); \
        return error ? failure : __real_##name arguments; \
    }

#define EACH_FUNCTION(F) \
    F(accept4) F(access) F(bind) F(calloc) F(chdir) F(chmod) F(chown) F(close) F(dup2) F(epoll_create1) F(epoll_ctl) \
    F(epoll_wait) F(eventfd) F(faccessat) F(fallocate) F(fchdir) F(fchmod) F(fchmodat) F(fchown) F(fchownat) \
    F(fcntl) F(fdopendir) F(flock) F(fstat) F(fstatfs) F(fsync) F(ftruncate) F(getgrouplist) F(getpwnam_r) \
    F(getpwuid_r) F(getsockopt) F(inotify_add_watch) F(inotify_init1) F(ioctl) F(kill) F(listen) F(lseek) F(lstat) \
    F(malloc) F(memfd_create) F(mkdir) F(mkdirat) F(mkdtemp) F(mkfifo) F(mknodat) F(mmap) F(mount) F(open) F(openat) \
    F(opendir) F(pipe2) F(poll) F(posix_memalign) F(prctl) F(pread) F(pthread_create) F(pwrite) F(read) F(readdir) \
    F(readlink) F(readlinkat) F(realpath) F(recvmsg) F(rename) F(renameat) F(rmdir) F(sendmsg) F(setns) F(setresgid) \
    F(setrlimit) F(sigaction) F(signalfd) F(socket) F(socketpair) F(stat) F(statx) F(symlink) F(symlinkat) F(timerfd_create) \
    F(timerfd_settime) F(umount2) F(uname) F(unlink) F(unlinkat) F(unshare) F(wait4) F(waitid) F(waitpid) F(write)

#define NUMBER_OF(name) NUMBER_##name,
enum { EACH_FUNCTION(NUMBER_OF) NUMBER_COUNT };
_Static_assert(FUNCTIONS + NUMBER_COUNT <= SLOTS, "more functions than the control file has room for");

#define NAME_OF(name) #name,
static const char *const names[] = {EACH_FUNCTION(NAME_OF)};

DIVERT(int, accept4, (int socket, struct sockaddr *address, socklen_t *length, int flags), (socket, address, length, flags))
DIVERT(int, access, (const char *path, int mode), (path, mode))
DIVERT(int, bind, (int socket, const struct sockaddr *address, socklen_t length), (socket, address, length))
DIVERT_POINTER(void *, calloc, (size_t count, size_t size), (count, size))
DIVERT(int, chdir, (const char *path), (path))
DIVERT(int, chmod, (const char *path, mode_t mode), (path, mode))
DIVERT(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
DIVERT(int, dup2, (int from, int to), (from, to))
DIVERT(int, epoll_create1, (int flags), (flags))
// To end a watch is nothing that the kernel can refuse.
int __real_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event) {
    int error = what == EPOLL_CTL_DEL ? 0 : FAILS(epoll_ctl);
    if (error) errno = error;
    return error ? -1 : __real_epoll_ctl(epoll, what, fd, event);
}
DIVERT(int, epoll_wait, (int epoll, struct epoll_event *events, int count, int timeout), (epoll, events, count, timeout))
DIVERT(int, eventfd, (unsigned value, int flags), (value, flags))
DIVERT(int, faccessat, (int directory, const char *path, int mode, int flags), (directory, path, mode, flags))
DIVERT(int, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length))
DIVERT(int, fchdir, (int directory), (directory))
DIVERT(int, fchmod, (int fd, mode_t mode), (fd, mode))
DIVERT(int, fchmodat, (int directory, const char *path, mode_t mode, int flags), (directory, path, mode, flags))
DIVERT(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
DIVERT(int, fchownat, (int directory, const char *path, uid_t user, gid_t group, int flags),
       (directory, path, user, group, flags))
DIVERT_POINTER(DIR *, fdopendir, (int fd), (fd))
DIVERT(int, flock, (int fd, int operation), (fd, operation))
DIVERT(int, fstat, (int fd, struct stat *facts), (fd, facts))
DIVERT(int, fstatfs, (int fd, struct statfs *facts), (fd, facts))
DIVERT(int, fsync, (int fd), (fd))
DIVERT(int, ftruncate, (int fd, off_t length), (fd, length))
// Weak: only the Driver calls these three, and a static libc cannot look up accounts.
int __real_getgrouplist(const char *, gid_t, gid_t *, int *) __attribute__((weak));
int __real_getpwnam_r(const char *, struct passwd *, char *, size_t, struct passwd **) __attribute__((weak));
int __real_getpwuid_r(uid_t, struct passwd *, char *, size_t, struct passwd **) __attribute__((weak));
DIVERT(int, getgrouplist, (const char *user, gid_t group, gid_t *groups, int *count), (user, group, groups, count))
DIVERT_ERROR(getpwnam_r, (const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **result),
             (name, entry, buffer, size, result))
DIVERT_ERROR(getpwuid_r, (uid_t user, struct passwd *entry, char *buffer, size_t size, struct passwd **result),
             (user, entry, buffer, size, result))
DIVERT(int, getsockopt, (int socket, int level, int option, void *value, socklen_t *length),
       (socket, level, option, value, length))
DIVERT(int, inotify_add_watch, (int inotify, const char *path, uint32_t events), (inotify, path, events))
DIVERT(int, inotify_init1, (int flags), (flags))
DIVERT(int, kill, (pid_t pid, int signal), (pid, signal))
DIVERT(int, listen, (int socket, int backlog), (socket, backlog))
DIVERT(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
DIVERT(int, lstat, (const char *path, struct stat *facts), (path, facts))
DIVERT_POINTER(void *, malloc, (size_t size), (size))
DIVERT(int, memfd_create, (const char *name, unsigned flags), (name, flags))
DIVERT(int, mkdir, (const char *path, mode_t mode), (path, mode))
DIVERT(int, mkdirat, (int directory, const char *path, mode_t mode), (directory, path, mode))
DIVERT_POINTER(char *, mkdtemp, (char *path), (path))
DIVERT(int, mkfifo, (const char *path, mode_t mode), (path, mode))
DIVERT(int, mknodat, (int directory, const char *path, mode_t mode, dev_t device), (directory, path, mode, device))
DIVERT_TO(void *, mmap, (void *address, size_t length, int protection, int flags, int fd, off_t offset),
          (address, length, protection, flags, fd, offset), (errno = error, MAP_FAILED))
DIVERT(int, mount, (const char *source, const char *target, const char *type, unsigned long flags, const void *data),
       (source, target, type, flags, data))
DIVERT_POINTER(DIR *, opendir, (const char *path), (path))
DIVERT(int, pipe2, (int descriptors[2], int flags), (descriptors, flags))
DIVERT(int, poll, (struct pollfd *waits, nfds_t count, int timeout), (waits, count, timeout))
// Where an Executor has no memory it ends, as in an ordinary build.
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void exec2_out_of_memory(void) __attribute__((noreturn));
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    int error = FAILS(posix_memalign);
    if (error && role == EXECUTOR) exec2_out_of_memory();
    return error ? error : __real_posix_memalign(memory, alignment, size);
}
DIVERT(ssize_t, pread, (int fd, void *bytes, size_t count, off_t offset), (fd, bytes, count, offset))
DIVERT_ERROR(pthread_create, (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *context),
             (thread, attributes, run, context))
DIVERT(ssize_t, pwrite, (int fd, const void *bytes, size_t count, off_t offset), (fd, bytes, count, offset))
DIVERT(ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count))
DIVERT_POINTER(struct dirent *, readdir, (DIR * directory), (directory))
DIVERT(ssize_t, readlink, (const char *path, char *target, size_t size), (path, target, size))
DIVERT(ssize_t, readlinkat, (int directory, const char *path, char *target, size_t size), (directory, path, target, size))
DIVERT_POINTER(char *, realpath, (const char *path, char *resolved), (path, resolved))
DIVERT(int, rename, (const char *from, const char *to), (from, to))
DIVERT(int, renameat, (int from_directory, const char *from, int to_directory, const char *to),
       (from_directory, from, to_directory, to))
DIVERT(int, rmdir, (const char *path), (path))
DIVERT(ssize_t, sendmsg, (int socket, const struct msghdr *message, int flags), (socket, message, flags))
DIVERT(ssize_t, recvmsg, (int socket, struct msghdr *message, int flags), (socket, message, flags))
DIVERT(int, setns, (int descriptor, int namespaces), (descriptor, namespaces))
DIVERT(int, setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved))
DIVERT(int, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit))
DIVERT(int, sigaction, (int signal, const struct sigaction *action, struct sigaction *before), (signal, action, before))
DIVERT(int, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends))
DIVERT(int, signalfd, (int fd, const sigset_t *signals, int flags), (fd, signals, flags))
DIVERT(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
DIVERT(int, stat, (const char *path, struct stat *facts), (path, facts))
DIVERT(int, statx, (int directory, const char *path, int flags, unsigned mask, struct statx *facts),
       (directory, path, flags, mask, facts))
DIVERT(int, symlink, (const char *target, const char *path), (target, path))
DIVERT(int, symlinkat, (const char *target, int directory, const char *path), (target, directory, path))
DIVERT(int, timerfd_create, (clockid_t clock, int flags), (clock, flags))
DIVERT(int, timerfd_settime, (int fd, int flags, const struct itimerspec *value, struct itimerspec *before),
       (fd, flags, value, before))
DIVERT(int, umount2, (const char *path, int flags), (path, flags))
DIVERT(int, uname, (struct utsname * name), (name))
DIVERT(int, unlink, (const char *path), (path))
DIVERT(int, unlinkat, (int directory, const char *path, int flags), (directory, path, flags))
DIVERT(int, unshare, (int namespaces), (namespaces))
DIVERT(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *usage), (pid, status, options, usage))
DIVERT(int, waitid, (idtype_t kind, id_t id, siginfo_t *facts, int options), (kind, id, facts, options))
DIVERT(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
DIVERT(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count))

// close(2) closes also where it fails.
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int error = FAILS(close);
    int result = __real_close(fd);
    if (error) errno = error;
    return error ? -1 : result;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int error = FAILS(open);
    if (error) errno = error;
    return error ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    int error = FAILS(openat);
    if (error) errno = error;
    return error ? -1 : __real_openat(directory, path, flags, mode);
}

// What takes one argument more by what the second one says.
#define DIVERT_COMMAND(name, type) \
    int __real_##name(int fd, type command, ...); \
    int __wrap_##name(int fd, type command, ...); \
    int __wrap_##name(int fd, type command, ...) { \
        va_list rest; \
        va_start(rest, command); \
        long argument = va_arg(rest, long); \
        va_end(rest); \
        int error = FAILS(name); \
        if (error) errno = error; \
        return error ? -1 : __real_##name(fd, command, argument); \
    }

DIVERT_COMMAND(fcntl, int)
DIVERT_COMMAND(ioctl, unsigned long)

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...) {
    va_list rest;
    va_start(rest, option);
    unsigned long a = va_arg(rest, unsigned long), b = va_arg(rest, unsigned long), c = va_arg(rest, unsigned long),
                  d = va_arg(rest, unsigned long);
    va_end(rest);
    int error = FAILS(prctl);
    if (error) errno = error;
    return error ? -1 : __real_prctl(option, a, b, c, d);
}

// A wrapper of this name goes by the number of its call.
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long), d = va_arg(rest, long),
         e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    long error = -exec2_fault_raw(number);
    if (error) errno = (int)error;
    return error ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("EXEC2_FAULT_CONTROL");
    if (!path) return;
    size_t start = strlen(location);
    if (start + strlen(path) >= sizeof location) abort();
    strcpy(location + start, path);
    role = getenv("EXEC2_FAULT_ROLE") ? EXECUTOR : DRIVER;
    int fd = __real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    __real_close(fd);
    if (memory == MAP_FAILED) abort();
    struct control *shared = memory;
    for (unsigned index = 0; index < NUMBER_COUNT; index++) strncpy(shared->names[FUNCTIONS + index], names[index], NAME_SIZE - 1);
    control = shared;
}
