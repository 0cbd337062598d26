#define _GNU_SOURCE
#include "child.h"
#include "child_capabilities.h"
#include "child_mounts.h"
#include "child_run.h"
#include "child_unveil.h"
#include "raw_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PLAN_FAILED_STATUS 125

static long write_oom_score_adj(long proc, const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    const char *path = proc < 0 ? "/proc/self/oom_score_adj" : "self/oom_score_adj";
    long fd = CALL4(SYS_openat, proc < 0 ? AT_FDCWD : proc, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return fd;
    long written = CALL3(SYS_write, fd, text, length);
    CALL1(SYS_close, fd);
    return written < 0 ? written : 0;
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
        long result = write_oom_score_adj(step->fd, step->text);
        return result == -EACCES && step->optional ? 0 : result;
    }
    case EXEC2_STEP_GROUPS: return CALL2(SYS_setgroups, step->number, step->values);
    case EXEC2_STEP_GROUP_ID: return CALL3(SYS_setresgid, step->number, step->number, step->number);
    case EXEC2_STEP_BOUNDING_SET: return exec2_child_cut_bounding_set(step->number);
    case EXEC2_STEP_USER_ID: return CALL3(SYS_setresuid, step->number, step->number, step->number);
    case EXEC2_STEP_CAPABILITIES: return exec2_child_set_capabilities(step->number);
    case EXEC2_STEP_NO_NEW_PRIVS: return CALL5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case EXEC2_STEP_WORK_DIR:
        return exec2_child_enter(step->path, step->text);
    case EXEC2_STEP_DESCRIPTOR: {
        long result = CALL3(SYS_dup3, step->fd, step->number, 0);
        return result < 0 ? result : 0;
    }
    case EXEC2_STEP_UNVEIL: return exec2_child_unveil(step);
    case EXEC2_STEP_RESTRICT: return CALL2(SYS_landlock_restrict_self, step->fd, step->number);
    case EXEC2_STEP_SIGNALS: return reset_signals(step->number);
    case EXEC2_STEP_CLOSE: return CALL3(SYS_close_range, step->number, ~0U, step->flags);
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
    case EXEC2_STEP_AMBIENT: return exec2_child_raise_ambient(step->number);
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
        // A directory of PATH that the user may not enter hides nothing that he could run, and a directory
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

void exec2_run_child(void *context) {
    struct exec2_plan *plan = context;
    for (size_t index = 0; index < plan->step_count; index++) {
        long result = perform(&plan->steps[index]);
        if (result < 0) {
            plan->failed_step = (int32_t)index;
            plan->step_errno = (int32_t)-result;
            CALL1(SYS_exit_group, PLAN_FAILED_STATUS);
        }
        if (result > 0 && plan->steps[index].kind == EXEC2_STEP_UNVEIL && plan->passed_over)
            plan->passed_over[index] = (int32_t)result;
    }
    execute(plan);
}
