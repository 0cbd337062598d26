// Raw system calls that return -errno: libc's wrappers write errno, and its setuid family signals
// the other threads of a process whose memory we only borrow. For the code between clone and execve.
#ifndef RAW_CALLS_H
#define RAW_CALLS_H

#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long raw(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long raw(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
#error "the executor is written for x86_64 and aarch64"
#endif

// In a build for tests, any of these calls can be made to fail (Sources/CFaults).
#ifdef EXEC2_FAULTS
#include "faults.h"
#include <sys/syscall.h>
static inline long raw_or_fault(long number, long a, long b, long c, long d, long e) {
    long failure = exec2_fault_raw(number);
    if (failure != 0) return failure;
    return raw(number, a, b, number == SYS_execve ? exec2_fault_environment(c) : c, d, e);
}
#define raw raw_or_fault
#endif

#define CALL0(n) raw(n, 0, 0, 0, 0, 0)
#define CALL1(n, a) raw(n, (long)(a), 0, 0, 0, 0)
#define CALL2(n, a, b) raw(n, (long)(a), (long)(b), 0, 0, 0)
#define CALL3(n, a, b, c) raw(n, (long)(a), (long)(b), (long)(c), 0, 0)
#define CALL4(n, a, b, c, d) raw(n, (long)(a), (long)(b), (long)(c), (long)(d), 0)
#define CALL5(n, a, b, c, d, e) raw(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

#endif
