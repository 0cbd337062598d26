#ifndef LANDLOCK_ABI_H
#define LANDLOCK_ABI_H

/// The version of the kernel's Landlock interface, 1 or more; else the negative errno: -ENOSYS where the kernel
/// has no Landlock, -EOPNOTSUPP where it was not enabled at boot. C because Swift cannot call syscall(2), and
/// libc has no function for landlock_create_ruleset(2).
int exec2_landlock_abi(void);

#endif
