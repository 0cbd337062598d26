// A library for LD_PRELOAD: syscall(2) reports version $OLDER_LANDLOCK of the kernel's Landlock.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>

long syscall(long number, ...) {
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int index = 0; index < 6; index++) a[index] = va_arg(arguments, long);
    va_end(arguments);
    const char *version = getenv("OLDER_LANDLOCK");
    // landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if (number == 444 && a[0] == 0 && a[2] == 1 && version) return atol(version);
    static long (*real)(long, long, long, long, long, long, long);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
