// The program that benchmarks run: first writes the monotonic clock to stdout, as eight bytes of
// nanoseconds, and ends. With an argument it stays, and writes the clock again at SIGTERM.
//
// Without libc, so that its work before main is not measured.
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov (%rsp), %rdi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tldr x0, [sp]\n\tbl begin\n\tbrk #1\n");
#else
#error "written for x86_64 and aarch64"
#endif

static void tell(void) {
    struct timespec now;
    call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0);
    uint64_t nanoseconds = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    call(SYS_write, 1, (long)&nanoseconds, sizeof nanoseconds, 0);
}

__attribute__((noreturn, used)) void begin(long argument_count) {
    uint64_t wanted = 1ULL << (SIGTERM - 1);
    if (argument_count > 1) call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&wanted, 0, sizeof wanted);
    tell();
    if (argument_count > 1) {
        call(SYS_rt_sigtimedwait, (long)&wanted, 0, 0, sizeof wanted);
        tell();
    }
    for (;;) call(SYS_exit_group, 0, 0, 0, 0);
}
