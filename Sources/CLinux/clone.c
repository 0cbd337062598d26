#define _GNU_SOURCE
#include "child.h"
#include "child_run.h"
#include "raw_calls.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#define CHILD_STACK_SIZE (64 * 1024)

// clone_args of <linux/sched.h> clashes with glibc's <sched.h>; this is its version 2 (Linux 5.7).
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

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
    if (result == 0) result = clone_on_stack(&arguments, exec2_run_child, plan);
#else
    long result = clone_on_stack(&arguments, exec2_run_child, plan);
#endif
    CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, 8);

    munmap(stack, CHILD_STACK_SIZE);
    return (pid_t)result;
}
