#define _GNU_SOURCE
#include "landlock_abi.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* The kernel's numbers, the same on every architecture: libc's headers may be older than Landlock. */
enum {
    EXEC2_SYS_LANDLOCK_CREATE_RULESET = 444,
    EXEC2_LANDLOCK_CREATE_RULESET_VERSION = 1 << 0,
    EXEC2_LANDLOCK_CREATE_RULESET_ERRATA = 1 << 1,
};

int exec2_landlock_abi(void) {
    long version =
        syscall(EXEC2_SYS_LANDLOCK_CREATE_RULESET, NULL, (size_t)0, EXEC2_LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? -errno : (int)version;
}

uint64_t exec2_landlock_errata(void) {
    long errata = syscall(EXEC2_SYS_LANDLOCK_CREATE_RULESET, NULL, (size_t)0, EXEC2_LANDLOCK_CREATE_RULESET_ERRATA);
    return errata < 0 ? 0 : (uint64_t)errata;
}
