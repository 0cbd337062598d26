#define _GNU_SOURCE
#include "sessions.h"
#include "system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int exec2_pidfd_getfd(int pidfd, int descriptor) { return (int)syscall(SYS_pidfd_getfd, pidfd, descriptor, 0); }

int exec2_setns(int descriptor, uint64_t namespaces) { return setns(descriptor, (int)namespaces); }

int exec2_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 ? flags : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

int exec2_is_proc(int descriptor) {
    struct statfs facts;
    if (fstatfs(descriptor, &facts) < 0) return -1;
    return facts.f_type == PROC_SUPER_MAGIC;
}

int exec2_is_in_memory(int descriptor) {
    struct statfs facts;
    if (fstatfs(descriptor, &facts) < 0) return -1;
    return facts.f_type == TMPFS_MAGIC;
}

int exec2_terminal(int sides[2], int directory) {
    int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    int holder = directory < 0 ? exec2_open("/dev/ptmx", flags, 0) : exec2_openat(directory, "ptmx", flags, 0);
    if (holder < 0) return -1;
    int unlocked = 0;
    int session = ioctl(holder, TIOCSPTLCK, &unlocked) < 0
                      ? -1
                      : ioctl(holder, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (session < 0) {
        int error = errno;
        close(holder);
        errno = error;
        return -1;
    }
    sides[0] = holder;
    sides[1] = session;
    return 0;
}

int exec2_terminal_resize(int descriptor, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(descriptor, TIOCSWINSZ, &size);
}

int exec2_terminal_size(int descriptor, uint16_t *rows, uint16_t *columns) {
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) < 0) return -1;
    *rows = size.ws_row;
    *columns = size.ws_col;
    return 0;
}

int exec2_unread(int pipe) {
    int count;
    return ioctl(pipe, FIONREAD, &count) < 0 ? 0 : count;
}
