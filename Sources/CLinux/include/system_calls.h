// System calls and constants that libc's Swift import lacks (they need _GNU_SOURCE) or that are
// variadic or macros, which Swift cannot call. Each returns what libc does, with errno set, unless
// it says otherwise.
#ifndef SYSTEM_CALLS_H
#define SYSTEM_CALLS_H

#include <poll.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/// O_PATH, flags of clone(2) and CLOSE_RANGE_UNSHARE: macros behind _GNU_SOURCE.
extern const int EXEC2_O_PATH;
extern const uint64_t EXEC2_CLONE_FILES, EXEC2_CLOSE_RANGE_UNSHARE;
extern const uint64_t EXEC2_CLONE_NEWNS, EXEC2_CLONE_NEWIPC, EXEC2_CLONE_NEWPID, EXEC2_CLONE_NEWNET;

/// open(2) and openat(2): variadic in C. Like the next, begun again when a signal interrupts them.
int exec2_open(const char *path, int flags, mode_t mode);
int exec2_openat(int directory, const char *path, int flags, mode_t mode);

/// openat2(2) that follows no symlink anywhere in `path`; beneath: and does not leave `directory`
/// (no libc wrapper).
int exec2_open_no_symlinks(int directory, const char *path, int flags, int beneath);

/// The same with O_PATH, for a path that may have symlinks, but none of /proc's that lead to what a process has open.
int exec2_open_no_magic_links(const char *path);

/// What a path names below `root` as if that were the root directory, opened with O_PATH; a symlink at its end is not
/// followed, and no link of /proc at all (openat2(2)).
int exec2_open_in_root(int root, const char *path);

/// The same of a path relative to /proc, which leads nowhere else: to no other file system, and by no link to a process's
/// directories and files.
int exec2_open_in_proc(const char *path);

/// pipe2(2) and fcntl(2)'s F_DUPFD_CLOEXEC: behind _GNU_SOURCE and variadic.
int exec2_pipe2(int descriptors[2], int flags);
/// dup3(2), closed on exec: behind _GNU_SOURCE.
int exec2_replace_descriptor(int descriptor, int number);
int exec2_duplicate(int descriptor, int minimum);
/// close_range(2) of all numbers from `first` on with CLOSE_RANGE_UNSHARE: the calling thread has descriptors of its own then.
/// Why C: declared behind _GNU_SOURCE.
int exec2_unshare_descriptors(unsigned first);

/// Has this process sent SIGIO, which ends it, when the last writer of a pipe is gone, or when something is written to it
/// (fcntl(2) is variadic).
int exec2_end_with_writer(int pipe);

/// Whether a descriptor is open, but not for writing (fcntl(2) is variadic).
int exec2_is_unwritable(int descriptor);

/// memfd_create(2), close-on-exec: behind _GNU_SOURCE.
int exec2_memfd(const char *name);

/// pidfd_open(2) and pidfd_send_signal(2): no libc wrapper in Debian 12's headers for Swift.
int exec2_pidfd_open(pid_t pid);
int exec2_pidfd_send_signal(int pidfd, int signal);

/// Reaps the child behind a pidfd (waitid(2), P_PIDFD) without waiting for it and tells how it ended: 1 with the exit
/// status or the signal (the other is -1); 0 where it still runs, or has ended and is held by a tracer; -1 where it is
/// not a child of this process. siginfo_t has unions, which Swift cannot read.
int exec2_pidfd_reap(int pidfd, int *exit_status, int *signal);

/// Whether this process has children, ended or not (waitid(2), which leaves them to be reaped).
int exec2_has_children(void);

/// signalfd(2) for one signal, non-blocking and close-on-exec; blocks the signal.
int exec2_signalfd(int signal);

/// signalfd(2) for several signals, bit n - 1 for signal n. Each entry of 128 bytes begins with the signal's number.
int exec2_signalfd_of(uint64_t signals);

/// timerfd(2) on CLOCK_MONOTONIC, non-blocking and close-on-exec.
int exec2_timerfd(void);
int exec2_timerfd_set(int timer, uint64_t nanoseconds); // 0 disarms

/// epoll(7): the event structure is packed and holds a union, which Swift cannot lay out.
int exec2_epoll_create(void);
int exec2_epoll_add(int epoll, int descriptor, uint32_t events, uint64_t token);
int exec2_epoll_remove(int epoll, int descriptor);
struct exec2_ready {
    uint32_t events;
    uint64_t token;
};
int exec2_epoll_wait(int epoll, struct exec2_ready *ready, int capacity, int milliseconds);
extern const uint32_t EXEC2_EPOLLIN;
/// Readable or broken, told once (EPOLLONESHOT).
extern const uint32_t EXEC2_EPOLLIN_ONCE;
/// Readable, writable or broken, told once each time it becomes so (EPOLLET).
extern const uint32_t EXEC2_EPOLL_CHANGES;
/// eventfd(2), non-blocking and close-on-exec.
int exec2_eventfd(void);

/// The type of an open file (S_ISFIFO and the like are macros).
enum exec2_file_type {
    EXEC2_FILE_REGULAR,
    EXEC2_FILE_DIRECTORY,
    EXEC2_FILE_FIFO,
    EXEC2_FILE_CHARACTER,
    EXEC2_FILE_BLOCK,
    EXEC2_FILE_SYMLINK,
    EXEC2_FILE_OTHER,
};
struct exec2_file_facts {
    enum exec2_file_type type;
    uint64_t device, inode, size;
    uint64_t special_device; // st_rdev
    uint32_t owner, group, mode;
};
int exec2_fstat(int descriptor, struct exec2_file_facts *facts);
/// What the kernel knows already (statx(2), AT_STATX_DONT_SYNC): it does not wait for a file system that does not answer.
int exec2_fstat_known(int descriptor, struct exec2_file_facts *facts);

/// Whether the descriptor is on a cgroup v2 file system (fstatfs(2) and its magic number): 1, 0 or -1.
int exec2_is_cgroup2(int descriptor);

/// flock(2), exclusive, without waiting.
int exec2_lock(int descriptor);

/// fallocate(2): behind _GNU_SOURCE.
int exec2_reserve(int descriptor, uint64_t bytes);

/// The kernel's struct landlock_ruleset_attr up to version 10: what a ruleset denies wherever no rule allows it, and
/// which denials its quiet rules keep out of the log.
struct exec2_landlock_ruleset {
    uint64_t handled_rights, handled_network, scoped;
    uint64_t quiet_rights, quiet_network, quiet_scoped;
};

/// landlock_create_ruleset(2), and landlock_add_rule(2) for an O_PATH descriptor and for a port:
/// no libc wrapper, and Debian 12's headers lack newer rights.
int exec2_landlock_create(const struct exec2_landlock_ruleset *ruleset);
int exec2_landlock_add_path(int ruleset, int path, uint64_t rights);
int exec2_landlock_add_port(int ruleset, uint16_t port, uint64_t rights);

/// Decodes a wait status (W* are macros): the exit code, and the signal or 0.
void exec2_wait_status(int status, int *exit_code, int *signal);

/// The calling process's capability bounding set, one bit each (prctl(2), PR_CAPBSET_READ: variadic).
uint64_t exec2_bounding_set(void);

/// prctl(2), PR_SET_NAME: variadic.
int exec2_set_process_name(const char *name);

/// accept4(2), close-on-exec and not blocking: a GNU extension.
int exec2_accept(int socket);

/// Who connected to a unix socket's other end (unix(7)): a pidfd, and the user. SO_PEERPIDFD (Linux 6.5), which
/// Debian 12's headers lack, or else SO_PEERCRED and pidfd_open(2): ucred is a GNU extension.
int exec2_socket_peer(int socket, uid_t *user);

/// One arena for all threads: mallopt(3), M_ARENA_MAX of 1. malloc_trim(3) of the whole heap. GNU extensions.
void exec2_use_one_heap(void);
void exec2_trim_heap(void);

/// Shuts this process to others of its user: prctl(2), PR_SET_DUMPABLE (variadic), and a saved group of
/// `strange_group` (setresgid(2) is a GNU extension).
int exec2_harden_process(gid_t strange_group);

/// Moves this process to an IPC namespace of its own (unshare(2): behind _GNU_SOURCE).
int exec2_unshare_ipc(void);

/// Blocks every signal that can be blocked (sigprocmask(2)): sets are macros and functions of libc's own.
int exec2_block_signals(void);

/// SIGRTMIN and SIGRTMAX: macros that call functions.
int exec2_signal_realtime_minimum(void);
int exec2_signal_realtime_maximum(void);

/// errno, a macro in C.
int exec2_errno(void);

/// clock_gettime(2) in nanoseconds: what both sides compare times in.
uint64_t exec2_realtime(void);
uint64_t exec2_monotonic(void);
/// The time since the host has booted, suspension included (CLOCK_BOOTTIME). It cannot be set.
uint64_t exec2_boottime(void);

#endif
