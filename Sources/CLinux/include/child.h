// The code between clone and execve: a plan that Swift fills in and a child that walks it.
//
// Why C: the child shares its parent's memory (CLONE_VM | CLONE_VFORK) and runs on a stack of its
// own. No Swift code, no allocation and no libc function with locks may run there; it makes raw
// system calls only.
#ifndef CHILD_H
#define CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What a step of the plan does; the number is also the name of the stage in error reports.
/// Append only: the numbers travel over the pipe protocol.
enum exec2_step_kind {
    EXEC2_STEP_SESSION = 1,        // setsid
    EXEC2_STEP_NETWORK = 2,        // setns(fd, CLONE_NEWNET)
    EXEC2_STEP_MOUNTS_SLAVE = 3,   // mounts made here stay here; the host's unmounts arrive
    EXEC2_STEP_PROC = 4,           // mount the PID namespace's own /proc
    EXEC2_STEP_READ_ONLY = 5,      // make directory `text` below `path` read-only
    EXEC2_STEP_OOM_SCORE_ADJ = 6,  // write `text` to /proc/self/oom_score_adj
    EXEC2_STEP_GROUPS = 7,         // setgroups(number, values)
    EXEC2_STEP_GROUP_ID = 8,       // setresgid(number)
    EXEC2_STEP_BOUNDING_SET = 9,   // drop from the bounding set what is not in mask `number`
    EXEC2_STEP_USER_ID = 10,       // setresuid(number)
    EXEC2_STEP_CAPABILITIES = 11,  // capset: permitted = effective = mask `number`
    EXEC2_STEP_NO_NEW_PRIVS = 12,  // prctl(PR_SET_NO_NEW_PRIVS)
    EXEC2_STEP_WORK_DIR = 13,      // chdir(path), or fchdir(`text` below `path`, not leading out of it)
    EXEC2_STEP_DESCRIPTOR = 14,    // dup3(fd, number): the copy survives execve
    EXEC2_STEP_UNVEIL = 15,        // open `path`, where `text` is set not leading out of that, and add it to ruleset fd
    EXEC2_STEP_RESTRICT = 16,      // landlock_restrict_self(fd, number)
    EXEC2_STEP_SIGNALS = 17,       // every disposition to default (not with number 1), empty mask
    EXEC2_STEP_CLOSE = 18,         // close every descriptor from `number` on; `flags`: of close_range(2)
    EXEC2_STEP_UMASK = 19,         // umask(number)
    EXEC2_STEP_RESOURCE_LIMIT = 20, // setrlimit(number, soft and hard); optional: only raise
    EXEC2_STEP_GENERATED_FILE = 30, // the one file of the memory file system fd takes the place of `path`
    EXEC2_STEP_MOUNT = 31,          // attach the detached mount fd at `text` below `path`
    EXEC2_STEP_KEEP_CAPABILITIES = 40, // a change of user leaves the permitted set
    EXEC2_STEP_AMBIENT = 41,       // inheritable and ambient += mask `number`: execve passes them on
    EXEC2_STEP_SECCOMP = 42,       // install `filter` of `number` instructions
    EXEC2_STEP_JOIN = 60,          // setns(fd, number): namespaces of the process behind the pidfd
    EXEC2_STEP_TERMINAL = 61,      // ioctl(fd, TIOCSCTTY): the session's controlling terminal
    EXEC2_STEP_PARENT_DEATH = 62,  // SIGKILL when the parent, whose pidfd fd is, is gone
};

/// In `number` of EXEC2_STEP_UNVEIL: neither of the path's last two parts may be a symlink.
#define EXEC2_UNVEIL_NO_SYMLINK 1
/// Passed over unless it is on a file system of /proc.
#define EXEC2_UNVEIL_ONLY_PROC 2
/// Passed over unless it is a file of `text_size` bytes, those at `text`.
#define EXEC2_UNVEIL_ONLY_CONTENT 4

/// Passed over, and noted in `passed_over` of the plan, whatever keeps the path from being opened but a shortage.
#define EXEC2_UNVEIL_ANY_FAILURE 8

/// The rule allows nothing: denials on what the path names are not logged (LANDLOCK_ADD_RULE_QUIET).
#define EXEC2_UNVEIL_QUIET 16
/// The path is that of a standard stream: a link of /proc is followed to what this process has open there.
#define EXEC2_UNVEIL_STREAM 32

/// In `number` of EXEC2_STEP_MOUNT: what is mounted is a directory; what is missing on the way to where it is
/// mounted, and that itself, is made as the user and group of the step.
#define EXEC2_MOUNT_DIRECTORY 1
#define EXEC2_MOUNT_MAKE 2

struct exec2_step {
    uint32_t kind;
    int32_t fd;
    uint64_t number;
    const char *path;       // NUL-terminated; the subject of error reports too
    const char *text;       // what is written, or the directory below `path`
    uint64_t text_size;     // EXEC2_UNVEIL_ONLY_CONTENT: of the bytes at `text`
    const uint32_t *values; // group ids
    uint64_t directory_rights; // EXEC2_STEP_UNVEIL: rights where path is a directory …
    uint64_t file_rights;   // … and where it is anything else
    uint64_t soft, hard;    // EXEC2_STEP_RESOURCE_LIMIT
    uint32_t flags;         // EXEC2_STEP_CLOSE
    uint32_t user, group;   // EXEC2_STEP_MOUNT
    const void *filter;     // EXEC2_STEP_SECCOMP: struct sock_filter of <linux/filter.h>
    uint32_t optional;      // a path that does not exist, or a right that is lacking, is passed over
};

struct exec2_plan {
    const struct exec2_step *steps;
    size_t step_count;
    const char *const *programs; // paths to try with execve, in order; NULL ends
    char *const *arguments;      // argv
    char *const *environment;    // envp

    // Written by the child, read by the parent after the clone returns.
    int32_t failed_step;  // index of the step that failed, or -1
    int32_t step_errno;   // its errno
    int32_t exec_errno;   // errno of execve when no program could be run, else 0
    int32_t exec_program; // index of the program that exec_errno speaks of
    int32_t *passed_over; // one for each step, zeros; NULL: of none. Of those that were passed over, their errno
    // CLOCK_REALTIME just before execve: when the parent runs again may be much later.
    int64_t started_seconds, started_nanoseconds;
};

/// Clones a child that walks the plan and executes the program, and returns when it has done so
/// or has failed (vfork semantics: clone3(2) with CLONE_VM | CLONE_VFORK | CLONE_PIDFD).
///
/// namespaces: CLONE_NEW* flags for the child, and CLONE_FILES where its first step leaves the shared descriptors, which
/// are the parent's until then. cgroup_fd: an open cgroup v2 directory, or -1.
/// Returns the child's pid in the caller's PID namespace and sets *pidfd, or returns -errno.
/// A failed step exits the child with 125; a failed execve with 127 or 126. The caller reaps it.
/// Why C: see the head of this file; the switch of stacks needs assembly.
pid_t exec2_clone(struct exec2_plan *plan, uint64_t namespaces, int cgroup_fd, int *pidfd);

#endif
