#define _GNU_SOURCE
#include "child.h"
#include "child_mounts.h"
#include "raw_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define CHILD_STACK_SIZE (64 * 1024)
#define PLAN_FAILED_STATUS 125
// Paths of rules stay open below this number; every limit of descriptors allows that many.
#define UNVEIL_DESCRIPTORS 64

// clone_args of <linux/sched.h> clashes with glibc's <sched.h>; this is its version 2 (Linux 5.7).
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

// The kernel's rule of Landlock for a path (uapi landlock.h): packed there, packed here.
struct landlock_path_rule {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));
#define LANDLOCK_RULE_PATH 1

// The switch of stacks around clone3(2): what follows runs on memory that the parent shares.
#if defined(__x86_64__)
static long clone_on_stack(struct clone_arguments *arguments, void (*run)(void *), void *context) {
    long result;
    register void (*r8)(void *) __asm__("r8") = run;
    register void *r9 __asm__("r9") = context;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static long clone_on_stack(struct clone_arguments *arguments, void (*run)(void *), void *context) {
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)arguments;
    register long x1 __asm__("x1") = sizeof *arguments;
    register void (*x9)(void *) __asm__("x9") = run;
    register void *x10 __asm__("x10") = context;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, x10\n\t"
                     "blr x9\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x9), "r"(x10)
                     : "x30", "memory");
    return x0;
}
#else
#error "the executor is written for x86_64 and aarch64"
#endif

static long write_oom_score_adj(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    long fd = CALL4(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return fd;
    long written = CALL3(SYS_write, fd, text, length);
    CALL1(SYS_close, fd);
    return written < 0 ? written : 0;
}

// Drops from the bounding set every capability that the mask lacks, up to the last the kernel knows
// (which answers EINVAL beyond it).
static long cut_bounding_set(uint64_t keep) {
    for (unsigned capability = 0; capability < 64; capability++) {
        if (keep >> capability & 1) continue;
        long result = CALL2(SYS_prctl, PR_CAPBSET_DROP, capability);
        if (result == -EINVAL) return 0;
        if (result < 0) return result;
    }
    return 0;
}

static long set_capabilities(uint64_t mask) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return CALL2(SYS_capset, &header, data);
}

// Makes the capabilities of the mask, which must be permitted, inheritable and ambient (capabilities(7)).
static long raise_ambient(uint64_t mask) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    long result = CALL2(SYS_capget, &header, data);
    if (result < 0) return result;
    data[0].inheritable |= (uint32_t)mask;
    data[1].inheritable |= (uint32_t)(mask >> 32);
    result = CALL2(SYS_capset, &header, data);
    if (result < 0) return result;
    for (unsigned capability = 0; capability < 64; capability++) {
        if (!(mask >> capability & 1)) continue;
        result = CALL5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
        if (result < 0) return result;
    }
    return 0;
}

// SPEC_ALLOW: kernels before 5.16 would slow a filtered process down by the mitigation of Spectre v4,
// which a task without a filter does not have either.
static long install_filter(const struct exec2_step *step) {
    struct sock_fprog program = {
        .len = (unsigned short)step->number,
        .filter = (struct sock_filter *)step->filter,
    };
    return CALL3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
}

// Opens a path whose last two parts vouch for it by their names alone, <alloc id>-<task>/local: tasks can
// make symlinks of these names elsewhere. What leads to the two is the client's choice, symlinks or not.
static long open_by_names(const char *path) {
    size_t start = 0;
    while (path[start]) start++;
    for (int parts = 0; parts < 2; parts++) {
        while (start > 0 && path[start - 1] == '/') start--;
        while (start > 0 && path[start - 1] != '/') start--;
    }
    char folder[PATH_MAX];
    if (start == 0) return -EINVAL;
    if (start >= sizeof folder) return -ENAMETOOLONG;
    for (size_t index = 0; index < start; index++) folder[index] = path[index];
    folder[start] = 0;
    long base = CALL4(SYS_openat, AT_FDCWD, folder, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (base < 0) return base;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long fd = CALL4(SYS_openat2, base, path + start, &how, sizeof how);
    CALL1(SYS_close, base);
    return fd;
}

static int has_content(long fd, const char *content, uint64_t size) {
    struct stat facts;
    if (CALL2(SYS_fstat, fd, &facts) != 0 || !S_ISREG(facts.st_mode) || (uint64_t)facts.st_size != size) return 0;
    char piece[512];
    uint64_t done = 0;
    while (done < size) {
        long count = CALL4(SYS_pread64, fd, piece, sizeof piece, done);
        if (count <= 0 || (uint64_t)count > size - done) return 0;
        for (long index = 0; index < count; index++)
            if (piece[index] != content[done + (uint64_t)index]) return 0;
        done += (uint64_t)count;
    }
    return 1;
}

static int is_meant(const struct exec2_step *step, long fd) {
    if (step->number & EXEC2_UNVEIL_ONLY_PROC) {
        struct statfs system;
        if (CALL2(SYS_fstatfs, fd, &system) != 0 || system.f_type != PROC_SUPER_MAGIC) return 0;
    }
    return !(step->number & EXEC2_UNVEIL_ONLY_CONTENT) || has_content(fd, step->text, step->soft);
}

static long add_unveil_rule(const struct exec2_step *step) {
    int flags = step->number & EXEC2_UNVEIL_ONLY_CONTENT ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH;
    long fd = step->number & EXEC2_UNVEIL_NO_SYMLINK
                  ? open_by_names(step->path)
                  : CALL4(SYS_openat, AT_FDCWD, step->path, flags | O_CLOEXEC, 0);
    if (fd < 0) return (fd == -ENOENT || fd == -ENOTDIR) && step->optional ? 0 : fd;
    if (!is_meant(step, fd)) {
        CALL1(SYS_close, fd);
        return 0;
    }
    struct landlock_path_rule rule = {.allowed_access = step->folder_rights, .parent_fd = (int32_t)fd};
    long result = -EINVAL;
    // Most are folders, and the kernel refuses rights of folders for anything else: that is cheaper than
    // asking first what it is.
    if (rule.allowed_access != step->file_rights)
        result = CALL4(SYS_landlock_add_rule, step->fd, LANDLOCK_RULE_PATH, &rule, 0);
    if (result == -EINVAL) {
        rule.allowed_access = step->file_rights;
        result = rule.allowed_access ? CALL4(SYS_landlock_add_rule, step->fd, LANDLOCK_RULE_PATH, &rule, 0) : 0;
    }
    // Anonymous pipes and sockets take no rules and need none.
    if (result == -EBADFD) result = 0;
    // EXEC2_STEP_CLOSE closes those below with one call.
    if (fd >= UNVEIL_DESCRIPTORS) CALL1(SYS_close, fd);
    return result;
}

// Ignored signals outlive execve, and an empty mask is what every program expects. Where the parent has
// left every disposition at its default, the mask is all there is to do.
static long reset_signals(uint64_t only_mask) {
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {0};
    for (int number = 1; number <= 64 && !only_mask; number++) {
        if (number == SIGKILL || number == SIGSTOP) continue;
        long result = CALL4(SYS_rt_sigaction, number, &action, 0, 8);
        if (result < 0) return result;
    }
    uint64_t none = 0;
    return CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
}

// The signal is the kernel's; a parent that was gone before it was asked for is seen by its pidfd.
static long die_with_parent(int parent) {
    long result = CALL2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (result < 0) return result;
    struct pollfd gone = {.fd = parent, .events = POLLIN};
    struct timespec at_once = {0};
    result = CALL5(SYS_ppoll, &gone, 1, &at_once, 0, 0);
    return result > 0 ? -ESRCH : result;
}

static long perform(const struct exec2_step *step) {
    switch ((enum exec2_step_kind)step->kind) {
    case EXEC2_STEP_SESSION: {
        long result = CALL0(SYS_setsid);
        return result < 0 ? result : 0;
    }
    case EXEC2_STEP_NETWORK: return CALL2(SYS_setns, step->fd, CLONE_NEWNET);
    case EXEC2_STEP_MOUNTS_SLAVE: return CALL5(SYS_mount, 0, "/", 0, MS_REC | MS_SLAVE, 0);
    case EXEC2_STEP_PROC: return CALL5(SYS_mount, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
    case EXEC2_STEP_READ_ONLY: {
        long result = exec2_child_read_only(step->path, step->text);
        return result == -ENOENT && step->optional ? 0 : result;
    }
    case EXEC2_STEP_OOM_SCORE_ADJ: {
        long result = write_oom_score_adj(step->text);
        return result == -EACCES && step->optional ? 0 : result;
    }
    case EXEC2_STEP_GROUPS: return CALL2(SYS_setgroups, step->number, step->values);
    case EXEC2_STEP_GROUP_ID: return CALL3(SYS_setresgid, step->number, step->number, step->number);
    case EXEC2_STEP_BOUNDING_SET: return cut_bounding_set(step->number);
    case EXEC2_STEP_USER_ID: return CALL3(SYS_setresuid, step->number, step->number, step->number);
    case EXEC2_STEP_CAPABILITIES: return set_capabilities(step->number);
    case EXEC2_STEP_NO_NEW_PRIVS: return CALL5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case EXEC2_STEP_WORK_DIR:
        return step->text ? exec2_child_enter_beneath(step->path, step->text) : CALL1(SYS_chdir, step->path);
    case EXEC2_STEP_DESCRIPTOR: {
        long result = CALL3(SYS_dup3, step->fd, step->number, 0);
        return result < 0 ? result : 0;
    }
    case EXEC2_STEP_UNVEIL: return add_unveil_rule(step);
    case EXEC2_STEP_RESTRICT: return CALL2(SYS_landlock_restrict_self, step->fd, 0);
    case EXEC2_STEP_SIGNALS: return reset_signals(step->number);
    case EXEC2_STEP_CLOSE: return CALL3(SYS_close_range, step->number, ~0U, 0);
    case EXEC2_STEP_RESOURCE_LIMIT: {
        uint64_t limit[2] = {step->soft, step->hard};
        if (step->optional) {
            uint64_t now[2];
            long result = CALL4(SYS_prlimit64, 0, step->number, 0, now);
            if (result < 0) return result;
            for (int index = 0; index < 2; index++)
                if (limit[index] < now[index]) limit[index] = now[index];
        }
        return CALL4(SYS_prlimit64, 0, step->number, limit, 0);
    }
    case EXEC2_STEP_GENERATED_FILE: return exec2_child_generated_file(step->fd, step->path);
    case EXEC2_STEP_MOUNT: return exec2_child_mount(step);
    case EXEC2_STEP_KEEP_CAPABILITIES: return CALL5(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    case EXEC2_STEP_AMBIENT: return raise_ambient(step->number);
    case EXEC2_STEP_SECCOMP: return install_filter(step);
    case EXEC2_STEP_JOIN: return CALL2(SYS_setns, step->fd, step->number);
    case EXEC2_STEP_TERMINAL: return CALL3(SYS_ioctl, step->fd, TIOCSCTTY, 0);
    case EXEC2_STEP_PARENT_DEATH: return die_with_parent(step->fd);
    case EXEC2_STEP_UMASK:
        CALL1(SYS_umask, step->number);
        return 0;
    }
    return -ENOSYS;
}

static int is_file(const char *path) {
    struct stat facts;
    return CALL4(SYS_newfstatat, AT_FDCWD, path, &facts, 0) == 0 && S_ISREG(facts.st_mode);
}

// As execvp(3) chooses: go on past what is not there, remember what was there and refused.
static void execute(struct exec2_plan *plan) {
    int32_t error = ENOENT, program = 0;
    struct timespec now = {0};
    CALL2(SYS_clock_gettime, CLOCK_REALTIME, &now);
    plan->started_seconds = now.tv_sec;
    plan->started_nanoseconds = now.tv_nsec;
    for (int32_t index = 0; plan->programs[index]; index++) {
        long result = CALL3(SYS_execve, plan->programs[index], plan->arguments, plan->environment);
        if (result == -ENOENT || result == -ENOTDIR) continue;
        // A folder of PATH that the user may not enter hides nothing that he could run, and a folder
        // of the command's name is no command.
        if (result == -EACCES && plan->programs[1] && !is_file(plan->programs[index])) continue;
        error = (int32_t)-result;
        program = index;
        if (result != -EACCES) break;
    }
    plan->exec_errno = error;
    plan->exec_program = program;
    CALL1(SYS_exit_group, error == ENOENT ? 127 : 126);
}

static void run_child(void *context) {
    struct exec2_plan *plan = context;
    for (size_t index = 0; index < plan->step_count; index++) {
        long result = perform(&plan->steps[index]);
        if (result < 0) {
            plan->failed_step = (int32_t)index;
            plan->step_errno = (int32_t)-result;
            CALL1(SYS_exit_group, PLAN_FAILED_STATUS);
        }
    }
    execute(plan);
}

pid_t exec2_clone(struct exec2_plan *plan, uint64_t namespaces, int cgroup_fd, int *pidfd) {
    plan->failed_step = -1;
    plan->step_errno = plan->exec_errno = plan->exec_program = 0;
    plan->started_seconds = plan->started_nanoseconds = 0;
    *pidfd = -1;

    void *stack = mmap(0, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return -errno;

    struct clone_arguments arguments = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | namespaces | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = CHILD_STACK_SIZE,
        .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
    };

    // A handler of the parent's must not run in the child, on shared memory.
    uint64_t all = ~0ULL, before = 0;
    CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
#ifdef EXEC2_FAULTS
    long result = exec2_fault_raw(SYS_clone3);
    if (result == 0) result = clone_on_stack(&arguments, run_child, plan);
#else
    long result = clone_on_stack(&arguments, run_child, plan);
#endif
    CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, 8);

    munmap(stack, CHILD_STACK_SIZE);
    return (pid_t)result;
}
