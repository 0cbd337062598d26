#ifndef LANDLOCK_ABI_H
#define LANDLOCK_ABI_H

#include <stdint.h>

/// The version of the kernel's Landlock interface, 1 or more; else the negative errno: -ENOSYS where the kernel
/// has no Landlock, -EOPNOTSUPP where it was not enabled at boot. C because Swift cannot call syscall(2), and
/// libc has no function for landlock_create_ruleset(2).
int exec2_landlock_abi(void);

/// The kernel's mask of faults of Landlock's that it has mended, bit n - 1 for erratum n
/// (LANDLOCK_CREATE_RULESET_ERRATA). 0 where it has mended none, or is older than the question. Why C: as above.
uint64_t exec2_landlock_errata(void);

#endif
