#define _GNU_SOURCE
#include "sessions.h"
#include "system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
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

int exec2_socketpair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }

union sent_descriptors {
    struct cmsghdr alignment;
    char bytes[CMSG_SPACE(sizeof(int) * EXEC2_SENT_DESCRIPTORS)];
};

int exec2_send(int socket, const void *bytes, size_t size, const int *numbers, size_t count) {
    if (count == 0 || count > EXEC2_SENT_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    union sent_descriptors sent = {0};
    struct iovec data = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = sent.bytes,
        .msg_controllen = CMSG_SPACE(sizeof(int) * count),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), numbers, sizeof(int) * count);
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

int exec2_receive(int socket, void *bytes, size_t size, int first) {
    union sent_descriptors received;
    struct iovec data = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = received.bytes,
        .msg_controllen = sizeof received.bytes,
    };
    ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (length <= 0) return (int)length;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int is_whole = header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
                   !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    size_t count = is_whole ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    for (size_t index = 0; index < count; index++) {
        int number;
        memcpy(&number, CMSG_DATA(header) + index * sizeof number, sizeof number);
        if (number != first + (int)index) count = 0;
    }
    if (count > 0) return (int)length;
    errno = EBADMSG;
    return -1;
}

int exec2_tell(int socket) {
    char byte = 0;
    return send(socket, &byte, 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int exec2_is_told(int socket) {
    char byte;
    ssize_t count = recv(socket, &byte, 1, MSG_DONTWAIT);
    return count < 0 && errno != EAGAIN ? -1 : count == 1;
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
