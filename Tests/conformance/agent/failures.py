"""Which calls fail in a fault sweep, and with which errors."""

from __future__ import annotations

import errno
import os

from agent.faults import DRIVER, FUNCTIONS, Fault, Faults

LONG = bool(os.environ.get("EXEC2_FAULTS_LONG"))
# The maximum number of rounds of one loop whose calls fail in the short sweep.
ROUNDS = 16

# The errors of each function: the most likely first; the others only in the long sweep.
OPEN = (errno.EMFILE, errno.ENOMEM, errno.EIO)
SPACE = (errno.ENOSPC, errno.EIO, errno.ENOMEM)
MEMORY = (errno.ENOMEM,)
ERRORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(["open", "openat", "openat2", "opendir", "fdopendir"], OPEN),
    **dict.fromkeys(["accept4", "dup2", "dup3", "epoll_create1", "eventfd", "fcntl", "fsmount", "fsopen", "inotify_init1",
                     "memfd_create", "pidfd_getfd", "pidfd_open", "pipe2", "signalfd", "socket", "timerfd_create"],
                    (errno.EMFILE, errno.ENOMEM)),
    **dict.fromkeys(["fallocate", "ftruncate", "inotify_add_watch", "ioctl", "mkdir", "mkdirat", "mkfifo", "mknodat", "pwrite",
                     "rename", "renameat", "symlink", "symlinkat", "write"], SPACE),
    **dict.fromkeys(["calloc", "chdir", "close_range", "fchdir", "fsconfig", "landlock_add_rule", "landlock_create_ruleset",
                     "malloc", "mmap", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root", "posix_memalign", "seccomp",
                     "setfsgid", "setfsuid", "setgroups", "umount2"], MEMORY),
    "clone3": (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC),
    "execve": (errno.ENOMEM, errno.EIO, errno.EACCES),
    "epoll_ctl": (errno.ENOSPC, errno.ENOMEM),
    "pthread_create": (errno.EAGAIN,),
    "kill": (errno.EPERM,),
    "pidfd_send_signal": (errno.EPERM,),
    **dict.fromkeys(["setresuid", "setresgid"], (errno.EAGAIN, errno.EPERM)),
    **dict.fromkeys(["prctl", "capset", "setsid", "prlimit64", "setns", "unshare"], (errno.EPERM, errno.ENOMEM)),
}
OTHERS = (errno.EIO, errno.ENOMEM)
# Calls that cannot fail if their arguments are valid, or that report on other processes: a
# failure would be artificial.
CANNOT_FAIL = {
    "gettid", "getpid", "umask", "sigaction", "rt_sigaction", "lseek", "timerfd_settime", "wait4", "waitid", "waitpid",
    "uname", "poll", "epoll_wait", "futex",
}
# Swift's runtime and gRPC end a process without memory, whoever has asked for it:
# test_no_memory_in_the_driver shows that tasks are not affected.
ENDS_A_DRIVER = {"malloc", "calloc", "posix_memalign"}
# Calls that a signal may interrupt (signal(7)).
INTERRUPTIBLE = {
    "open", "openat", "openat2", "read", "write", "pread", "pwrite", "fallocate", "ftruncate", "flock", "wait4",
    "waitid", "waitpid", "poll", "epoll_wait",
}


def faults_of(control: Faults, counts: dict[tuple[int, int], int], *, interrupted: bool = False) -> list[Fault]:
    """The calls that must fail, one after another."""
    found = []
    for (role, slot), count in sorted(counts.items()):
        name = control.name(slot)
        function = name.split()[-1]
        if interrupted:
            # Between clone and execve every signal is blocked, so that only calls by name count.
            if slot < FUNCTIONS or function not in INTERRUPTIBLE:
                continue
            errors: tuple[int, ...] = (errno.EINTR,)
        else:
            if function in CANNOT_FAIL or (role == DRIVER and function in ENDS_A_DRIVER):
                continue
            errors = ERRORS.get(function, OTHERS)[:None if LONG else 1]
        step = 1 if LONG else max(1, count // ROUNDS)
        rounds = sorted({*range(1, count + 1, step), count})
        found += [Fault(role, slot, name, nth, error) for nth in rounds for error in errors]
    return found
