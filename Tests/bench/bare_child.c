// The child of bare.c, from clone3 to execve.
#define _GNU_SOURCE
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// struct clone_args in the version of Linux 5.7, which <linux/sched.h> has only beside <sched.h>'s own names.
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

// What the child could not do. It shares this memory with its parent, and its stderr is the task's log.
static const char *volatile failed;
static volatile int failure;

static long step(long result, const char *what) {
    if (result >= 0) return result;
    failed = what;
    failure = errno;
    _exit(125);
}

// Rights of directories are refused for anything else, as EINVAL.
int add_rule(int ruleset, const struct rule *rule, int descriptor) {
    struct {
        uint64_t allowed_access;
        int32_t parent_fd;
    } __attribute__((packed)) attributes = {rule->directory_rights, descriptor};
    enum { PATH_BENEATH = 1 };
    long result = syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &attributes, 0);
    if (result < 0 && errno == EINVAL) {
        attributes.allowed_access = rule->file_rights;
        result = syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &attributes, 0);
    }
    return (int)result;
}

// Opens a path of whose last two parts none may be a symlink.
static int open_by_names(const char *path) {
    const char *last = strrchr(path, '/'), *name = last;
    while (name > path && *--name != '/') {}
    char directory[4096];
    snprintf(directory, sizeof directory, "%.*s", (int)(name - path + 1), path);
    int above = open_path(AT_FDCWD, directory, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);
    if (above < 0) return -1;
    int found = open_path(above, name + 1, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    close(above);
    return found;
}

static void add_own_rules(const struct plan *plan, int ruleset) {
    for (size_t index = 0; index < plan->rule_count; index++) {
        const struct rule *rule = &plan->rules[index];
        if (rule->time != RULE_LATE && rule->time != RULE_BY_NAMES) continue;
        int found = rule->time == RULE_BY_NAMES ? open_by_names(rule->path)
                                                : open_path(AT_FDCWD, rule->path, O_PATH, RESOLVE_NO_MAGICLINKS);
        step(found, rule->path);
        step(add_rule(ruleset, rule, found), rule->path);
    }
}

// Through the host's /proc, since a task's may be read-only.
static void set_oom_score(int proc) {
    long file = step(openat(proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC), "open oom_score_adj");
    step(write((int)file, "0", 1), "write oom_score_adj");
    close((int)file);
}

// By system calls: libc's functions would tell other threads of this memory.
static void become(const struct plan *plan) {
    step(syscall(SYS_setgroups, 0, NULL), "setgroups");
    step(syscall(SYS_setresgid, plan->group, plan->group, plan->group), "setresgid");
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) {}
    step(errno == EINVAL ? 0 : -1, "reduce the bounding set");
    step(syscall(SYS_setresuid, plan->user, plan->user, plan->user), "setresuid");
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    step(syscall(SYS_capset, &header, none), "capset");
}

static void enter_work_dir(const char *path) {
    int directory = (int)step(open_path(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS), path);
    step(fchdir(directory), path);
    close(directory);
}

static void confine(const struct plan *plan) {
    enum { RULESET = STDERR_FILENO + 1 };
    enter_work_dir(plan->work_dir);
    step(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    step(syscall(SYS_landlock_restrict_self, RULESET, 0), "landlock_restrict_self");
    uint64_t none = 0;
    step(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none), "rt_sigprocmask");
    umask(022);
    struct sock_fprog filter = {
        .len = (unsigned short)(plan->filter_bytes / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)plan->filter,
    };
    if (filter.len)
        step(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter), "seccomp");
    step(syscall(SYS_close_range, RULESET, ~0U, 0), "close_range");
}

__attribute__((noreturn)) static void run_child(
    const struct plan *plan, const struct ahead *ahead, const struct opened *opened) {
    step(syscall(SYS_setsid), "setsid");
    set_oom_score(ahead->host_proc);
    step(dup3(opened->out, STDOUT_FILENO, 0), "dup3");
    step(dup3(opened->error, STDERR_FILENO, 0), "dup3");
    if (opened->task < 0) add_own_rules(plan, ahead->ruleset);
    else step(setns(opened->task, CLONE_NEWNS | CLONE_NEWIPC), "setns");
    become(plan);
    step(dup3(ahead->ruleset, STDERR_FILENO + 1, 0), "dup3");
    step(syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0), "close_range");
    confine(plan);
    step(execve(plan->program, plan->arguments, plan->environment), plan->program);
    __builtin_unreachable();
}

#if defined(__x86_64__)
__attribute__((always_inline)) static inline long clone_call(struct clone_arguments *arguments) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
__attribute__((always_inline)) static inline long clone_call(struct clone_arguments *arguments) {
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)arguments;
    register long x1 __asm__("x1") = sizeof *arguments;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
    return x0;
}
#else
#error "written for x86_64 and aarch64"
#endif

// The child has its parent's memory and stack, and the parent waits until its execve (CLONE_VFORK). The call is not a
// function of its own that returns in the child: its parent could not return from it any more.
__attribute__((noinline)) static long clone_child(
    struct clone_arguments *arguments, const struct plan *plan, const struct ahead *ahead, const struct opened *opened) {
    long result = clone_call(arguments);
    if (result == 0) run_child(plan, ahead, opened);
    return result;
}

int spawn_task(const struct plan *plan, const struct ahead *ahead, const struct opened *opened) {
    struct clone_arguments arguments = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)opened->cgroup,
    };
    long task = clone_child(&arguments, plan, ahead, opened);
    if (task < 0) errno = (int)-task;
    must(task < 0 ? -1 : 0, "clone3");
    errno = failure;
    must(failed ? -1 : 0, failed);
    return (int)task;
}
